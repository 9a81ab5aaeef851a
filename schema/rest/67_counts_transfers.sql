/*
 * Counts, waste and transfers: how the books and the shelves are brought together.
 *
 * An inventory_count is a sheet of inventory_count_lines. Guests do not wait for it, so each line
 * is held against what the books say of the moment at which it was counted; when somebody else than
 * the counter approves the count, the difference is posted to the ledger as of that moment, and
 * what was sold since stays sold. A waste_log takes what is thrown away, given away or eaten by
 * staff out of stock as it is written. A stock_transfer takes its lines out of one site when it is
 * shipped and puts what arrives into the other as lots with the same codes and dates;
 * rest.transfer_differences() proves that both ends agree.
 */

CREATE TABLE rest.inventory_count (
    business_id          uuid              NOT NULL,
    inventory_count_id   uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    started_by_staff_id  uuid              NOT NULL,
    approved_by_staff_id uuid,
    location_id          uuid              NOT NULL,
    count_number         text              NOT NULL,
    count_kind           text              NOT NULL,
    business_date        date              NOT NULL,
    started_at           timestamptz       NOT NULL DEFAULT now(),
    submitted_at         timestamptz,
    approved_at          timestamptz,
    state                text              NOT NULL DEFAULT 'draft',
    line_count           integer           NOT NULL DEFAULT 0,
    counted_value        system_core.money NOT NULL DEFAULT 0,
    variance_value       system_core.money NOT NULL DEFAULT 0,
    freezes_stock        boolean           NOT NULL DEFAULT false,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_count_id),
    UNIQUE (business_id, location_id, count_number),
    FOREIGN KEY (business_id, started_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, approved_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    CONSTRAINT inventory_count_kind_known
        CHECK (count_kind IN ('full', 'spot', 'category', 'key_items')),
    CONSTRAINT inventory_count_state_known
        CHECK (state IN ('draft', 'counting', 'submitted', 'approved', 'cancelled')),
    CONSTRAINT inventory_count_approved_by_somebody
        CHECK ((approved_at IS NOT NULL) = (state = 'approved')
               AND (approved_by_staff_id IS NOT NULL) = (state = 'approved')),
    CONSTRAINT inventory_count_approved_by_another
        CHECK (approved_by_staff_id <> started_by_staff_id),
    CONSTRAINT inventory_count_submitted_has_time
        CHECK (state NOT IN ('submitted', 'approved') OR submitted_at IS NOT NULL),
    CONSTRAINT inventory_count_in_order
        CHECK (submitted_at >= started_at AND approved_at >= submitted_at)
);

COMMENT ON TABLE rest.inventory_count IS
    'A count of a site, full or partial, from freeze to approval.';
COMMENT ON COLUMN rest.inventory_count.line_count IS
    'Set with the values when the count is submitted, and again when it is approved.';
COMMENT ON COLUMN rest.inventory_count.freezes_stock IS
    'Until it is decided nothing else than sales is booked at the site.';

-- One count freezes a site at a time; who books there looks for it.
CREATE UNIQUE INDEX inventory_count_one_freezes_idx
    ON rest.inventory_count (business_id, location_id)
    WHERE freezes_stock AND state IN ('counting', 'submitted');

-- FK: the counts that somebody did.
CREATE INDEX inventory_count_started_by_staff_idx
    ON rest.inventory_count (business_id, started_by_staff_id);

-- FK: the counts that somebody approved.
CREATE INDEX inventory_count_approved_by_staff_idx
    ON rest.inventory_count (business_id, approved_by_staff_id)
    WHERE approved_by_staff_id IS NOT NULL;

ALTER TABLE rest.inventory_count ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inventory_count
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inventory_count TO app_user;
GRANT SELECT ON rest.inventory_count TO app_readonly;

CREATE TRIGGER inventory_count_touch
    BEFORE UPDATE ON rest.inventory_count
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER inventory_count_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.inventory_count
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft", "counting"],
        "transitions": {
            "draft":     ["counting", "cancelled"],
            "counting":  ["submitted", "cancelled"],
            "submitted": ["counting", "approved", "cancelled"],
            "approved":  [],
            "cancelled": []
        }}');

CREATE FUNCTION rest.refuse_settled_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION '% % is %, that of it is not changed any more', TG_ARGV[0],
                        to_jsonb(OLD) ->> TG_ARGV[1], OLD.state
            USING ERRCODE = 'restrict_violation', HINT = 'Write another one.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.refuse_settled_change() IS
    'A document stands once it is settled; arguments: what it is, and the column of its number.';

CREATE TRIGGER inventory_count_terminal
    BEFORE UPDATE ON rest.inventory_count
    FOR EACH ROW WHEN (NEW.location_id <> OLD.location_id
                       OR (OLD.state IN ('approved', 'cancelled')
                           AND NEW.* IS DISTINCT FROM OLD.*))
    EXECUTE FUNCTION rest.refuse_settled_change('count', 'count_number');


CREATE TABLE rest.inventory_count_line (
    business_id             uuid                   NOT NULL,
    inventory_count_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    inventory_count_id      uuid                   NOT NULL,
    inventory_item_id       uuid                   NOT NULL,
    storage_area_id         uuid                   NOT NULL,
    unit_of_measure_id      uuid                   NOT NULL,
    reason_code_id          uuid,
    sequence_no             integer                NOT NULL,
    expected_qty            system_core.quantity,
    counted_qty             system_core.quantity,
    counted_unit_qty        system_core.quantity,
    recount_qty             system_core.quantity,
    unit_cost               system_core.unit_price NOT NULL DEFAULT 0,
    variance_qty            system_core.quantity
        GENERATED ALWAYS AS (counted_qty - expected_qty) STORED,
    variance_value          system_core.money
        GENERATED ALWAYS AS ((counted_qty - expected_qty) * unit_cost) STORED,
    counted_at              timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, inventory_count_line_id),
    UNIQUE (business_id, inventory_count_id, inventory_item_id, storage_area_id),
    FOREIGN KEY (business_id, inventory_count_id)
        REFERENCES rest.inventory_count (business_id, inventory_count_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, storage_area_id)
        REFERENCES rest.storage_area (business_id, storage_area_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    CONSTRAINT inventory_count_line_counted_not_negative
        CHECK (counted_qty >= 0 AND counted_unit_qty >= 0),
    CONSTRAINT inventory_count_line_recount_confirms CHECK (recount_qty = counted_qty),
    CONSTRAINT inventory_count_line_counted_has_time
        CHECK ((counted_qty IS NULL) = (counted_at IS NULL))
);

COMMENT ON TABLE rest.inventory_count_line IS
    'Counted against expected quantity of an item in an area.';
COMMENT ON COLUMN rest.inventory_count_line.expected_qty IS
    'What the books say of the moment at which it was counted, in the stock unit; before it is
     counted, what they said when the line was put on the sheet.';
COMMENT ON COLUMN rest.inventory_count_line.counted_qty IS
    'In the stock unit; follows counted_unit_qty where that is given.';
COMMENT ON COLUMN rest.inventory_count_line.counted_unit_qty IS
    'As it was counted, in the unit of the line: three cases.';
COMMENT ON COLUMN rest.inventory_count_line.recount_qty IS
    'A second count, which agrees with counted_qty or puts it right first.';

-- FK: the counts of an item.
CREATE INDEX inventory_count_line_inventory_item_idx
    ON rest.inventory_count_line (business_id, inventory_item_id);

-- FK: the counts of an area.
CREATE INDEX inventory_count_line_storage_area_idx
    ON rest.inventory_count_line (business_id, storage_area_id);

-- FK: what is counted in a unit.
CREATE INDEX inventory_count_line_unit_of_measure_idx
    ON rest.inventory_count_line (business_id, unit_of_measure_id);

-- FK: the variances for a reason.
CREATE INDEX inventory_count_line_reason_code_idx
    ON rest.inventory_count_line (business_id, reason_code_id)
    WHERE reason_code_id IS NOT NULL;

ALTER TABLE rest.inventory_count_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.inventory_count_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.inventory_count_line TO app_user;
GRANT SELECT ON rest.inventory_count_line TO app_readonly;

CREATE TRIGGER inventory_count_line_touch
    BEFORE UPDATE ON rest.inventory_count_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.stock_at(item uuid, area uuid, moment timestamptz) RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce((SELECT l.on_hand_qty
                     FROM rest.stock_level AS l
                     WHERE l.business_id = tenant_mgmt.current_business_id()
                       AND l.inventory_item_id = item AND l.storage_area_id = area), 0)
           - coalesce((SELECT sum(m.quantity)
                       FROM rest.stock_movement AS m
                       WHERE m.business_id = tenant_mgmt.current_business_id()
                         AND m.inventory_item_id = item AND m.storage_area_id = area
                         AND m.occurred_at > moment), 0);
END;
COMMENT ON FUNCTION rest.stock_at(uuid, uuid, timestamptz) IS
    'What by the books lay in an area at a moment: what lies there less what happened since.';

CREATE FUNCTION rest.keep_count_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := coalesce(NEW.business_id, OLD.business_id);
    sheet  record;
BEGIN
    IF NOT row_security_active(TG_RELID) OR pg_trigger_depth() > 1 THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    SELECT c.count_number, c.state, c.location_id INTO sheet
    FROM rest.inventory_count AS c
    WHERE c.business_id = tenant
      AND c.inventory_count_id = coalesce(OLD.inventory_count_id, NEW.inventory_count_id)
    FOR SHARE;
    IF sheet.state NOT IN ('draft', 'counting') THEN
        RAISE EXCEPTION 'count % is %, its lines stand', sheet.count_number, sheet.state
            USING ERRCODE = 'restrict_violation', HINT = 'Send it back to counting first.';
    ELSIF TG_OP = 'DELETE' THEN
        RETURN OLD;
    ELSIF TG_OP = 'UPDATE'
          AND (NEW.inventory_count_id, NEW.inventory_item_id, NEW.storage_area_id)
           <> (OLD.inventory_count_id, OLD.inventory_item_id, OLD.storage_area_id) THEN
        RAISE EXCEPTION 'a line of count % keeps its sheet, its item and its area',
                        sheet.count_number
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Take it off the sheet and write another.';
    ELSIF NOT EXISTS (SELECT FROM rest.storage_area AS a
                      WHERE a.business_id = tenant AND a.storage_area_id = NEW.storage_area_id
                        AND a.location_id = sheet.location_id) THEN
        RAISE EXCEPTION 'count % is of another site than its line', sheet.count_number
            USING ERRCODE = 'check_violation', HINT = 'Count each site by itself.';
    END IF;
    IF NEW.counted_unit_qty IS NOT NULL THEN
        NEW.counted_qty := rest.convert_qty(
            NEW.inventory_item_id, NEW.counted_unit_qty, NEW.unit_of_measure_id, (
                SELECT i.stock_unit_id
                FROM rest.inventory_item AS i
                WHERE i.business_id = tenant
                  AND i.inventory_item_id = NEW.inventory_item_id));
    END IF;
    -- What is counted again is counted now, if nobody says when.
    IF TG_OP = 'UPDATE' AND NEW.counted_qty <> OLD.counted_qty
       AND NEW.counted_at = OLD.counted_at THEN
        NEW.counted_at := now();
    ELSIF NEW.counted_qty IS NOT NULL THEN
        NEW.counted_at := coalesce(NEW.counted_at, now());
    END IF;
    IF NEW.counted_at IS NOT NULL OR NEW.expected_qty IS NULL THEN
        NEW.expected_qty := rest.stock_at(NEW.inventory_item_id, NEW.storage_area_id,
                                          coalesce(NEW.counted_at, now()));
    END IF;
    IF NEW.unit_cost = 0 THEN
        NEW.unit_cost := coalesce(
            (SELECT l.average_cost
             FROM rest.stock_level AS l
             WHERE l.business_id = tenant AND l.inventory_item_id = NEW.inventory_item_id
               AND l.storage_area_id = NEW.storage_area_id),
            (SELECT i.average_cost
             FROM rest.inventory_item AS i
             WHERE i.business_id = tenant AND i.inventory_item_id = NEW.inventory_item_id));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.keep_count_line() IS
    'A line is of the site of its count, stands once the count is submitted, turns what was counted
     into the stock unit and expects what the books say of the moment of counting.';

CREATE TRIGGER inventory_count_line_keep
    BEFORE INSERT OR UPDATE OR DELETE ON rest.inventory_count_line
    FOR EACH ROW EXECUTE FUNCTION rest.keep_count_line();

CREATE FUNCTION rest.total_count() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    uncounted integer;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    SELECT count(*), coalesce(sum(l.counted_qty * l.unit_cost), 0),
           coalesce(sum(l.variance_value), 0), count(*) FILTER (WHERE l.counted_qty IS NULL)
    INTO NEW.line_count, NEW.counted_value, NEW.variance_value, uncounted
    FROM rest.inventory_count_line AS l
    WHERE l.business_id = NEW.business_id AND l.inventory_count_id = NEW.inventory_count_id;
    IF NEW.line_count = 0 OR uncounted > 0 THEN
        RAISE EXCEPTION 'count % has % lines, % of them are not counted', NEW.count_number,
                        NEW.line_count, uncounted
            USING ERRCODE = 'check_violation', HINT = 'Count them, or take them off the sheet.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.total_count() IS
    'A count is submitted and approved whole, and then knows what it is worth.';

CREATE TRIGGER inventory_count_total
    BEFORE UPDATE OF state ON rest.inventory_count
    FOR EACH ROW WHEN (NEW.state IN ('submitted', 'approved') AND NEW.state <> OLD.state)
    EXECUTE FUNCTION rest.total_count();

CREATE FUNCTION rest.settle_count() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    later record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    -- Whoever books what is on the sheet waits here, in the order of rest.consume_stock().
    PERFORM FROM rest.stock_level AS v
    JOIN rest.storage_area AS a
        ON a.business_id = v.business_id AND a.storage_area_id = v.storage_area_id
    WHERE v.business_id = NEW.business_id AND a.location_id = NEW.location_id
      AND v.inventory_item_id IN (
          SELECT l.inventory_item_id
          FROM rest.inventory_count_line AS l
          WHERE l.business_id = NEW.business_id
            AND l.inventory_count_id = NEW.inventory_count_id)
    ORDER BY v.inventory_item_id, v.storage_area_id
    FOR UPDATE OF v;
    SELECT i.item_code, v.last_counted_at INTO later
    FROM rest.inventory_count_line AS l
    JOIN rest.inventory_item AS i
        ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
    JOIN rest.stock_level AS v
        ON v.business_id = l.business_id AND v.inventory_item_id = l.inventory_item_id
       AND v.storage_area_id = l.storage_area_id
    WHERE l.business_id = NEW.business_id AND l.inventory_count_id = NEW.inventory_count_id
      AND v.last_counted_at > l.counted_at
    ORDER BY l.sequence_no
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'count % is overtaken, % was counted again at %', NEW.count_number,
                        later.item_code, later.last_counted_at
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Send it back to counting and count it again, or take it off the sheet.';
    END IF;
    UPDATE rest.inventory_count_line AS l
    SET expected_qty = b.expected_qty
    FROM (
        SELECT x.inventory_count_line_id,
               rest.stock_at(x.inventory_item_id, x.storage_area_id, x.counted_at) AS expected_qty
        FROM rest.inventory_count_line AS x
        WHERE x.business_id = NEW.business_id AND x.inventory_count_id = NEW.inventory_count_id
    ) AS b
    WHERE l.business_id = NEW.business_id
      AND l.inventory_count_line_id = b.inventory_count_line_id
      AND l.expected_qty <> b.expected_qty;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.settle_count() IS
    'Before a count is posted its lines learn what was booked late, or by another count, of the
     moments at which they were counted; a count does not undo one that was taken after it.';

CREATE TRIGGER inventory_count_settle
    BEFORE UPDATE OF state ON rest.inventory_count
    FOR EACH ROW WHEN (NEW.state = 'approved' AND OLD.state = 'submitted')
    EXECUTE FUNCTION rest.settle_count();

CREATE FUNCTION rest.post_count() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    FOR line IN
        SELECT l.*
        FROM rest.inventory_count_line AS l
        WHERE l.business_id = NEW.business_id AND l.inventory_count_id = NEW.inventory_count_id
        ORDER BY l.inventory_item_id, l.storage_area_id
    LOOP
        IF line.variance_qty > 0 THEN
            INSERT INTO rest.stock_movement
                (business_id, inventory_item_id, storage_area_id, occurred_at, movement_kind,
                 quantity, source_kind, source_id)
            VALUES (NEW.business_id, line.inventory_item_id, line.storage_area_id,
                    line.counted_at, 'count_adjustment', line.variance_qty,
                    'inventory_count_line', line.inventory_count_line_id);
        ELSIF line.variance_qty < 0 THEN
            PERFORM rest.consume_stock(
                line.inventory_item_id, NEW.location_id, -line.variance_qty, 'count_adjustment',
                'inventory_count_line', line.inventory_count_line_id, line.counted_at,
                may_run_short => true, any_lot => true, only_area => line.storage_area_id);
        END IF;
        UPDATE rest.stock_level AS v
        SET last_counted_at = line.counted_at, theoretical_qty = line.expected_qty
        WHERE v.business_id = NEW.business_id AND v.inventory_item_id = line.inventory_item_id
          AND v.storage_area_id = line.storage_area_id;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.post_count() IS
    'What was counted more or less than expected is posted when the count is approved, as of the
     moment of counting: less leaves the lots that expire first, more has no lot.';

CREATE TRIGGER inventory_count_post
    AFTER UPDATE OF state ON rest.inventory_count
    FOR EACH ROW WHEN (NEW.state = 'approved' AND OLD.state <> 'approved')
    EXECUTE FUNCTION rest.post_count();

CREATE FUNCTION rest.freeze_stock() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        PERFORM FROM rest.location AS l
        WHERE l.business_id = NEW.business_id AND l.location_id = NEW.location_id
        FOR NO KEY UPDATE;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.freeze_stock() IS
    'A count that freezes a site waits for what is being booked there, and is waited for.';

CREATE TRIGGER inventory_count_freeze
    BEFORE INSERT OR UPDATE OF state, freezes_stock ON rest.inventory_count
    FOR EACH ROW WHEN (NEW.freezes_stock AND NEW.state = 'counting')
    EXECUTE FUNCTION rest.freeze_stock();

CREATE FUNCTION rest.refuse_frozen_stock() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    place  uuid;
    frozen text;
BEGIN
    IF NOT row_security_active('rest.stock_movement') THEN
        RETURN NEW;
    END IF;
    -- Bookings share the site; the count that freezes it wants it for itself, and is then seen.
    SELECT a.location_id INTO place
    FROM rest.storage_area AS a
    WHERE a.business_id = NEW.business_id AND a.storage_area_id = NEW.storage_area_id;
    PERFORM FROM rest.location AS l
    WHERE l.business_id = NEW.business_id AND l.location_id = place
    FOR SHARE;
    SELECT c.count_number INTO frozen
    FROM rest.inventory_count AS c
    WHERE c.business_id = NEW.business_id AND c.location_id = place AND c.freezes_stock
      AND c.state IN ('counting', 'submitted');
    IF FOUND THEN
        RAISE EXCEPTION 'stock is frozen by count %, % waits', frozen, NEW.movement_kind
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Approve the count or cancel it, then book.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.refuse_frozen_stock() IS
    'While a count freezes a site nothing but its sales and the count itself is booked. Imported
     history was booked long ago.';

CREATE TRIGGER stock_movement_frozen
    BEFORE INSERT ON rest.stock_movement
    FOR EACH ROW WHEN (NEW.movement_kind NOT IN ('sale', 'count_adjustment'))
    EXECUTE FUNCTION rest.refuse_frozen_stock();


CREATE FUNCTION rest.start_count(
    place    uuid,
    counter  uuid,
    kind     text DEFAULT 'full',
    category uuid DEFAULT NULL,
    moment   timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    made   uuid;
BEGIN
    IF (kind = 'category') <> (category IS NOT NULL) THEN
        RAISE EXCEPTION 'a count of kind % % a category', kind,
                        CASE kind WHEN 'category' THEN 'is of' ELSE 'is not of' END
            USING ERRCODE = 'check_violation', HINT = 'Name one for a count of a category only.';
    END IF;
    INSERT INTO rest.inventory_count
        (business_id, location_id, started_by_staff_id, count_number, count_kind, business_date,
         started_at, state, freezes_stock)
    VALUES (tenant, place, counter,
            system_core.number_document(tenant, 'rest.count', 'IC-', place), kind,
            rest.business_date(place, moment), moment, 'counting', kind = 'full')
    RETURNING inventory_count_id INTO made;
    INSERT INTO rest.inventory_count_line
        (business_id, inventory_count_id, inventory_item_id, storage_area_id,
         unit_of_measure_id, sequence_no, expected_qty, unit_cost)
    SELECT tenant, made, l.inventory_item_id, l.storage_area_id, i.stock_unit_id,
           row_number() OVER (ORDER BY a.count_sequence, a.area_code, l.shelf_sequence,
                                       i.item_code), l.on_hand_qty, l.average_cost
    FROM rest.stock_level AS l
    JOIN rest.storage_area AS a
        ON a.business_id = l.business_id AND a.storage_area_id = l.storage_area_id
    JOIN rest.inventory_item AS i
        ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
    WHERE l.business_id = tenant AND a.location_id = place
      AND CASE kind WHEN 'category' THEN i.inventory_category_id = category
                    WHEN 'key_items' THEN i.abc_class = 'a'
                    ELSE kind = 'full' END;
    RETURN made;
END
$$;
COMMENT ON FUNCTION rest.start_count(uuid, uuid, text, uuid, timestamptz) IS
    'Starts a count of a site and writes its sheet in shelf order, with what the books expect: all
     of it, a category, or the key items (class a). A spot count starts with an empty sheet, on
     which is written what is counted.';


CREATE TABLE rest.waste_log (
    business_id          uuid                   NOT NULL,
    waste_log_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    recorded_by_staff_id uuid                   NOT NULL,
    location_id          uuid                   NOT NULL,
    reason_code_id       uuid                   NOT NULL,
    inventory_item_id    uuid,
    menu_item_id         uuid,
    check_item_id        uuid,
    unit_of_measure_id   uuid,
    occurred_at          timestamptz            NOT NULL DEFAULT now(),
    business_date        date                   NOT NULL,
    waste_kind           text                   NOT NULL,
    quantity             system_core.quantity   NOT NULL,
    unit_cost            system_core.unit_price NOT NULL DEFAULT 0,
    value_amount         system_core.money      NOT NULL
        GENERATED ALWAYS AS (quantity * unit_cost) STORED,
    disposal             text                   NOT NULL DEFAULT 'bin',
    note                 text,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, waste_log_id),
    FOREIGN KEY (business_id, recorded_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    FOREIGN KEY (business_id, location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, reason_code_id)
        REFERENCES rest.reason_code (business_id, reason_code_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, menu_item_id) REFERENCES rest.menu_item (business_id, menu_item_id),
    FOREIGN KEY (business_id, check_item_id)
        REFERENCES rest.check_item (business_id, check_item_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    CONSTRAINT waste_log_waste_kind_known
        CHECK (waste_kind IN ('spoilage', 'trim', 'overproduction', 'dropped', 'returned_dish',
                              'expired', 'staff_meal', 'donation')),
    CONSTRAINT waste_log_disposal_known
        CHECK (disposal IN ('bin', 'compost', 'donated', 'oil_recycler')),
    CONSTRAINT waste_log_ingredient_or_dish
        CHECK (num_nonnulls(inventory_item_id, menu_item_id) = 1),
    CONSTRAINT waste_log_ingredient_has_unit
        CHECK ((inventory_item_id IS NULL) = (unit_of_measure_id IS NULL)),
    CONSTRAINT waste_log_line_is_a_dish CHECK (check_item_id IS NULL OR menu_item_id IS NOT NULL),
    CONSTRAINT waste_log_quantity_positive CHECK (quantity > 0),
    CONSTRAINT waste_log_given_away
        CHECK ((waste_kind = 'donation') = (disposal = 'donated'))
);

COMMENT ON TABLE rest.waste_log IS
    'Food thrown away, donated or eaten by staff, as ingredient or as dish; append only.';
COMMENT ON COLUMN rest.waste_log.unit_of_measure_id IS 'NULL where portions of a dish are meant.';
COMMENT ON COLUMN rest.waste_log.check_item_id IS
    'The line that came back; what it is made of was used up when it was sold.';

-- FK: what somebody threw away.
CREATE INDEX waste_log_recorded_by_staff_idx
    ON rest.waste_log (business_id, recorded_by_staff_id);

-- FK: the waste of a site by day.
CREATE INDEX waste_log_location_idx ON rest.waste_log (business_id, location_id, business_date);

-- FK: the waste for a reason.
CREATE INDEX waste_log_reason_code_idx ON rest.waste_log (business_id, reason_code_id);

-- FK: the waste of an item.
CREATE INDEX waste_log_inventory_item_idx
    ON rest.waste_log (business_id, inventory_item_id)
    WHERE inventory_item_id IS NOT NULL;

-- FK: the waste of a dish.
CREATE INDEX waste_log_menu_item_idx
    ON rest.waste_log (business_id, menu_item_id)
    WHERE menu_item_id IS NOT NULL;

-- FK: the lines that came back.
CREATE INDEX waste_log_check_item_idx
    ON rest.waste_log (business_id, check_item_id)
    WHERE check_item_id IS NOT NULL;

-- FK: what is noted in a unit.
CREATE INDEX waste_log_unit_of_measure_idx
    ON rest.waste_log (business_id, unit_of_measure_id)
    WHERE unit_of_measure_id IS NOT NULL;

ALTER TABLE rest.waste_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.waste_log
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON rest.waste_log TO app_user;
GRANT SELECT ON rest.waste_log TO app_readonly;

CREATE TRIGGER waste_log_append_only
    BEFORE UPDATE OR DELETE ON rest.waste_log
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('rest.waste_log');

CREATE FUNCTION rest.value_waste() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    NEW.business_date := coalesce(NEW.business_date,
                                  rest.business_date(NEW.location_id, NEW.occurred_at));
    IF NEW.unit_cost = 0 AND NEW.inventory_item_id IS NOT NULL THEN
        SELECT rest.convert_qty(i.inventory_item_id, 1, NEW.unit_of_measure_id, i.stock_unit_id)
               * i.average_cost
        INTO NEW.unit_cost
        FROM rest.inventory_item AS i
        WHERE i.business_id = NEW.business_id AND i.inventory_item_id = NEW.inventory_item_id;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.value_waste() IS
    'Waste of an ingredient costs what the item costs on average, and is of the business day of its
     site, where nobody says otherwise.';

CREATE TRIGGER waste_log_value
    BEFORE INSERT ON rest.waste_log
    FOR EACH ROW EXECUTE FUNCTION rest.value_waste();

CREATE FUNCTION rest.post_waste() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    stock_unit uuid;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT i.stock_unit_id INTO stock_unit
    FROM rest.inventory_item AS i
    WHERE i.business_id = NEW.business_id AND i.inventory_item_id = NEW.inventory_item_id;
    -- What is eaten or given away must still be good; what is thrown away need not be.
    PERFORM rest.consume_stock(
        NEW.inventory_item_id, NEW.location_id,
        rest.convert_qty(NEW.inventory_item_id, NEW.quantity, NEW.unit_of_measure_id, stock_unit),
        CASE NEW.waste_kind WHEN 'staff_meal' THEN 'staff_meal' ELSE 'waste' END, 'waste_log',
        NEW.waste_log_id, NEW.occurred_at,
        may_run_short => NEW.waste_kind NOT IN ('staff_meal', 'donation'),
        any_lot => NEW.waste_kind NOT IN ('staff_meal', 'donation'));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.post_waste() IS
    'What is thrown away leaves the stock as it is written down, what expires first in front.';

CREATE TRIGGER waste_log_post
    AFTER INSERT ON rest.waste_log
    FOR EACH ROW WHEN (NEW.inventory_item_id IS NOT NULL)
    EXECUTE FUNCTION rest.post_waste();


CREATE TABLE rest.stock_transfer (
    business_id           uuid              NOT NULL,
    stock_transfer_id     uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    from_location_id      uuid              NOT NULL,
    to_location_id        uuid              NOT NULL,
    requested_by_staff_id uuid              NOT NULL,
    transfer_number       text              NOT NULL,
    transfer_kind         text              NOT NULL,
    state                 text              NOT NULL DEFAULT 'requested',
    requested_at          timestamptz       NOT NULL DEFAULT now(),
    shipped_at            timestamptz,
    received_at           timestamptz,
    vehicle_temp_c        numeric(6, 2),
    temperature_ok        boolean,
    total_value           system_core.money NOT NULL DEFAULT 0,
    created_at            timestamptz       NOT NULL DEFAULT now(),
    updated_at            timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_id),
    UNIQUE (business_id, transfer_number),
    FOREIGN KEY (business_id, from_location_id)
        REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, to_location_id) REFERENCES rest.location (business_id, location_id),
    FOREIGN KEY (business_id, requested_by_staff_id)
        REFERENCES rest.staff_member (business_id, staff_member_id),
    CONSTRAINT stock_transfer_kind_known
        CHECK (transfer_kind IN ('commissary', 'inter_store', 'return')),
    CONSTRAINT stock_transfer_state_known
        CHECK (state IN ('requested', 'approved', 'picked', 'in_transit', 'received',
                         'cancelled')),
    CONSTRAINT stock_transfer_goes_elsewhere CHECK (from_location_id <> to_location_id),
    CONSTRAINT stock_transfer_in_order
        CHECK (requested_at <= shipped_at AND shipped_at <= received_at),
    CONSTRAINT stock_transfer_state_has_times
        CHECK ((shipped_at IS NOT NULL) = (state IN ('in_transit', 'received'))
               AND (received_at IS NOT NULL) = (state = 'received'))
);

COMMENT ON TABLE rest.stock_transfer IS 'Goods moved between commissary and sites.';
COMMENT ON COLUMN rest.stock_transfer.temperature_ok IS
    'Whether the goods were cold enough on arrival; NULL before.';
COMMENT ON COLUMN rest.stock_transfer.total_value IS 'What was shipped cost; set by shipping.';

-- FK: what leaves a site.
CREATE INDEX stock_transfer_from_location_idx
    ON rest.stock_transfer (business_id, from_location_id, state);

-- FK: what a site waits for.
CREATE INDEX stock_transfer_to_location_idx
    ON rest.stock_transfer (business_id, to_location_id, state);

-- FK: what somebody asked for.
CREATE INDEX stock_transfer_requested_by_staff_idx
    ON rest.stock_transfer (business_id, requested_by_staff_id);

ALTER TABLE rest.stock_transfer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_transfer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.stock_transfer TO app_user;
GRANT SELECT ON rest.stock_transfer TO app_readonly;

CREATE TRIGGER stock_transfer_touch
    BEFORE UPDATE ON rest.stock_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER stock_transfer_state_machine
    BEFORE INSERT OR UPDATE OF state ON rest.stock_transfer
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["requested"],
        "transitions": {
            "requested":  ["approved", "cancelled"],
            "approved":   ["picked", "cancelled"],
            "picked":     ["in_transit", "cancelled"],
            "in_transit": ["received"],
            "received":   [],
            "cancelled":  []
        }}');

-- What is on the way may be sent elsewhere, but it left where and when it left.
CREATE TRIGGER stock_transfer_terminal
    BEFORE UPDATE ON rest.stock_transfer
    FOR EACH ROW WHEN ((OLD.state IN ('received', 'cancelled') AND NEW.* IS DISTINCT FROM OLD.*)
                       OR (OLD.state = 'in_transit'
                           AND (NEW.from_location_id, NEW.shipped_at, NEW.total_value)
                               IS DISTINCT FROM
                               (OLD.from_location_id, OLD.shipped_at, OLD.total_value)))
    EXECUTE FUNCTION rest.refuse_settled_change('transfer', 'transfer_number');


CREATE TABLE rest.stock_transfer_line (
    business_id            uuid                   NOT NULL,
    stock_transfer_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    stock_transfer_id      uuid                   NOT NULL,
    inventory_item_id      uuid                   NOT NULL,
    unit_of_measure_id     uuid                   NOT NULL,
    stock_lot_id           uuid,
    line_number            integer                NOT NULL,
    requested_qty          system_core.quantity   NOT NULL,
    shipped_qty            system_core.quantity,
    received_qty           system_core.quantity,
    unit_cost              system_core.unit_price NOT NULL DEFAULT 0,
    line_value             system_core.money
        GENERATED ALWAYS AS (shipped_qty * unit_cost) STORED,
    discrepancy_kind       text                   NOT NULL DEFAULT 'none',
    note                   text,
    created_at             timestamptz            NOT NULL DEFAULT now(),
    updated_at             timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_transfer_line_id),
    UNIQUE (business_id, stock_transfer_id, line_number),
    FOREIGN KEY (business_id, stock_transfer_id)
        REFERENCES rest.stock_transfer (business_id, stock_transfer_id),
    FOREIGN KEY (business_id, inventory_item_id)
        REFERENCES rest.inventory_item (business_id, inventory_item_id),
    FOREIGN KEY (business_id, unit_of_measure_id)
        REFERENCES rest.unit_of_measure (business_id, unit_of_measure_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES rest.stock_lot (business_id, stock_lot_id),
    CONSTRAINT stock_transfer_line_discrepancy_kind_known
        CHECK (discrepancy_kind IN ('none', 'short', 'over', 'damaged', 'warm')),
    CONSTRAINT stock_transfer_line_quantities_not_negative
        CHECK (requested_qty > 0 AND shipped_qty >= 0 AND received_qty >= 0),
    CONSTRAINT stock_transfer_line_differs_for_a_cause
        CHECK (CASE discrepancy_kind WHEN 'none' THEN received_qty = shipped_qty
                                     WHEN 'over' THEN received_qty > shipped_qty
                                     ELSE received_qty < shipped_qty END)
);

COMMENT ON TABLE rest.stock_transfer_line IS
    'Item and lot of a transfer with the quantity short or warm on arrival.';
COMMENT ON COLUMN rest.stock_transfer_line.stock_lot_id IS
    'The lot to send; NULL sends what expires first.';
COMMENT ON COLUMN rest.stock_transfer_line.received_qty IS
    'What was put into stock; what came damaged or warm was not.';

-- FK: the transfers of an item.
CREATE INDEX stock_transfer_line_inventory_item_idx
    ON rest.stock_transfer_line (business_id, inventory_item_id);

-- FK: what is noted in a unit.
CREATE INDEX stock_transfer_line_unit_of_measure_idx
    ON rest.stock_transfer_line (business_id, unit_of_measure_id);

-- FK: where a lot was sent.
CREATE INDEX stock_transfer_line_stock_lot_idx
    ON rest.stock_transfer_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE rest.stock_transfer_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON rest.stock_transfer_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON rest.stock_transfer_line TO app_user;
GRANT SELECT ON rest.stock_transfer_line TO app_readonly;

CREATE TRIGGER stock_transfer_line_touch
    BEFORE UPDATE ON rest.stock_transfer_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION rest.keep_transfer_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    -- A generated column is not known yet in NEW; it follows from the others.
    arrival CONSTANT text[] := '{received_qty,discrepancy_kind,note,line_value,updated_at}';
    whole   record;
BEGIN
    IF NOT row_security_active(TG_RELID) OR pg_trigger_depth() > 1 THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    SELECT t.transfer_number, t.state INTO whole
    FROM rest.stock_transfer AS t
    WHERE t.business_id = coalesce(NEW.business_id, OLD.business_id)
      AND t.stock_transfer_id = coalesce(OLD.stock_transfer_id, NEW.stock_transfer_id)
    FOR SHARE;
    IF TG_OP = 'UPDATE' AND NEW.stock_transfer_id <> OLD.stock_transfer_id THEN
        RAISE EXCEPTION 'a line of transfer % stays on it', whole.transfer_number
            USING ERRCODE = 'restrict_violation', HINT = 'Take it off and write another.';
    END IF;
    IF whole.state IN ('requested', 'approved', 'picked') THEN
        RETURN coalesce(NEW, OLD);
    END IF;
    IF whole.state = 'in_transit' AND TG_OP = 'UPDATE'
       AND to_jsonb(NEW) - arrival = to_jsonb(OLD) - arrival THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'transfer % is %, its lines stand', whole.transfer_number, whole.state
        USING ERRCODE = 'restrict_violation',
              HINT = 'On the way only what arrives is noted, with its cause.';
END
$$;
COMMENT ON FUNCTION rest.keep_transfer_line() IS
    'Lines are edited until they are shipped; then only what arrives is noted.';

CREATE TRIGGER stock_transfer_line_keep
    BEFORE INSERT OR UPDATE OR DELETE ON rest.stock_transfer_line
    FOR EACH ROW EXECUTE FUNCTION rest.keep_transfer_line();

CREATE FUNCTION rest.ship_transfer() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line record;
    cost numeric;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    NEW.total_value := 0;
    FOR line IN
        SELECT l.*, rest.convert_qty(l.inventory_item_id, coalesce(l.shipped_qty, l.requested_qty),
                                     l.unit_of_measure_id, i.stock_unit_id) AS amount
        FROM rest.stock_transfer_line AS l
        JOIN rest.inventory_item AS i
            ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
        WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
          AND coalesce(l.shipped_qty, l.requested_qty) > 0
        ORDER BY l.inventory_item_id, l.line_number
    LOOP
        SELECT -sum(m.value_amount) INTO cost
        FROM rest.consume_stock(
            line.inventory_item_id, NEW.from_location_id, line.amount, 'transfer_out',
            'stock_transfer_line', line.stock_transfer_line_id, NEW.shipped_at,
            only_lot => line.stock_lot_id) AS m;
        UPDATE rest.stock_transfer_line AS l
        SET shipped_qty = coalesce(l.shipped_qty, l.requested_qty),
            unit_cost = cost / coalesce(l.shipped_qty, l.requested_qty)
        WHERE l.business_id = NEW.business_id
          AND l.stock_transfer_line_id = line.stock_transfer_line_id;
        NEW.total_value := NEW.total_value + cost;
    END LOOP;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION rest.ship_transfer() IS
    'What is shipped leaves its site, the lot that is named or what expires first; what is not
     there, or not to be used, is not shipped.';

CREATE TRIGGER stock_transfer_ship
    BEFORE UPDATE OF state ON rest.stock_transfer
    FOR EACH ROW WHEN (NEW.state = 'in_transit' AND OLD.state = 'picked')
    EXECUTE FUNCTION rest.ship_transfer();

CREATE FUNCTION rest.receive_transfer() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    part record;
    made uuid;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    UPDATE rest.stock_transfer_line AS l
    SET received_qty = l.shipped_qty
    WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
      AND l.received_qty IS NULL;
    -- What arrives is that of the lots that expire first; what came too much is more of the last,
    -- and what was not shipped and came is of no lot.
    FOR part IN
        SELECT m.*,
               CASE WHEN m.place = m.parts THEN m.arrived - m.before
                    ELSE least(m.sent, m.arrived - m.before) END AS amount
        FROM (
            SELECT l.inventory_item_id, l.stock_transfer_line_id, x.unit_cost, o.lot_code,
                   o.use_by_on, o.traceability_lot_code, o.status,
                   coalesce(-x.quantity, 0) AS sent,
                   coalesce(sum(-x.quantity) OVER (w ROWS BETWEEN UNBOUNDED PRECEDING
                                                          AND 1 PRECEDING), 0) AS before,
                   row_number() OVER w AS place,
                   count(*) OVER (PARTITION BY l.stock_transfer_line_id) AS parts,
                   round(rest.convert_qty(l.inventory_item_id, l.received_qty,
                                          l.unit_of_measure_id, i.stock_unit_id), 4) AS arrived
            FROM rest.stock_transfer_line AS l
            JOIN rest.inventory_item AS i
                ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
            LEFT JOIN rest.stock_movement AS x
                ON x.business_id = l.business_id AND x.source_id = l.stock_transfer_line_id
               AND x.movement_kind = 'transfer_out'
            LEFT JOIN rest.stock_lot AS o
                ON o.business_id = l.business_id AND o.stock_lot_id = x.stock_lot_id
            WHERE l.business_id = NEW.business_id AND l.stock_transfer_id = NEW.stock_transfer_id
            WINDOW w AS (PARTITION BY l.stock_transfer_line_id
                         ORDER BY o.use_by_on, o.received_on, o.lot_code, x.stock_movement_id)
        ) AS m
        ORDER BY m.inventory_item_id, m.stock_transfer_line_id, m.place
    LOOP
        CONTINUE WHEN coalesce(part.amount, 0) <= 0;
        made := rest.receive_stock(
            part.inventory_item_id, rest.home_area(part.inventory_item_id, NEW.to_location_id),
            part.amount, part.unit_cost, 'transfer_in', 'stock_transfer_line',
            part.stock_transfer_line_id, part.lot_code, part.use_by_on,
            part.traceability_lot_code, NEW.received_at);
        -- What was stopped while it was on the way is not used at the other end either.
        UPDATE rest.stock_lot AS l
        SET status = part.status
        WHERE l.business_id = NEW.business_id AND l.stock_lot_id = made
          AND part.status IN ('quarantined', 'recalled')
          AND (l.status = 'available' OR part.status = 'recalled' AND l.status <> 'recalled');
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION rest.receive_transfer() IS
    'What arrives enters the other site at the cost at which it left, as lots with the same code
     and date, stopped where they are stopped.';

CREATE TRIGGER stock_transfer_receive
    AFTER UPDATE OF state ON rest.stock_transfer
    FOR EACH ROW WHEN (NEW.state = 'received' AND OLD.state = 'in_transit')
    EXECUTE FUNCTION rest.receive_transfer();


CREATE FUNCTION rest.transfer_differences()
    RETURNS TABLE (stock_transfer_line_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT l.stock_transfer_line_id, v.figure, v.said, v.found
    FROM rest.stock_transfer AS t
    JOIN rest.stock_transfer_line AS l
        ON l.business_id = t.business_id AND l.stock_transfer_id = t.stock_transfer_id
    JOIN rest.inventory_item AS i
        ON i.business_id = l.business_id AND i.inventory_item_id = l.inventory_item_id
    LEFT JOIN LATERAL (
        SELECT -sum(m.quantity) FILTER (WHERE m.movement_kind = 'transfer_out') AS sent,
               sum(m.quantity) FILTER (WHERE m.movement_kind = 'transfer_in') AS arrived
        FROM rest.stock_movement AS m
        WHERE m.business_id = l.business_id AND m.source_id = l.stock_transfer_line_id
          AND m.source_kind = 'stock_transfer_line'
    ) AS m ON true
    CROSS JOIN LATERAL (VALUES
        ('shipped', CASE WHEN t.state IN ('in_transit', 'received') THEN l.shipped_qty END,
         m.sent),
        ('received', CASE WHEN t.state = 'received' THEN l.received_qty END, m.arrived)
    ) AS v (figure, said, found)
    WHERE t.business_id = tenant_mgmt.current_business_id()
      AND round(rest.convert_qty(l.inventory_item_id, coalesce(v.said, 0), l.unit_of_measure_id,
                                 i.stock_unit_id), 4) <> coalesce(v.found, 0);
END;
COMMENT ON FUNCTION rest.transfer_differences() IS
    'Proves the transfers: lines whose shipped or received quantity is not what the ledger says.';
