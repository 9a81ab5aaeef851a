/*
 * Stock: what lies where, every movement of it, and the old units that are worth money.
 *
 * stock_movement is the ledger: receipts, issues to jobs, returns, counts. Nobody changes it, and
 * stock_balance follows it: pieces, average cost, what is kept for jobs (committed_qty). A part
 * line that is reserved or received keeps its pieces; one that is issued takes them; one that is
 * returned brings them back; all through post_stock_movement(). A receipt that a job waits for goes
 * to its part line at once.
 *
 * Starters, calipers and injectors are rebuilt: the maker charges a deposit for the old unit, the
 * core. core_deposit follows both sides, the customer who pays it until the old unit is in hand,
 * and the supplier who credits it when the unit comes back within its window. Old units lie on the
 * core shelf as dirty_core_qty. parts_demand_forecast says what will be asked for.
 *
 * Everybody locks in one order: purchase order lines, orders, part lines, then balances by part and
 * place, then core deposits.
 */

CREATE TABLE auto.stock_balance (
    business_id       uuid                   NOT NULL,
    stock_balance_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    part_id           uuid                   NOT NULL,
    stock_location_id uuid                   NOT NULL,
    on_hand_qty       system_core.quantity   NOT NULL DEFAULT 0,
    committed_qty     system_core.quantity   NOT NULL DEFAULT 0,
    on_order_qty      system_core.quantity   NOT NULL DEFAULT 0,
    dirty_core_qty    system_core.quantity   NOT NULL DEFAULT 0,
    average_cost      system_core.unit_price NOT NULL DEFAULT 0,
    last_cost         system_core.unit_price,
    reorder_point_qty system_core.quantity,
    order_up_to_qty   system_core.quantity,
    last_sold_at      timestamptz,
    last_received_at  timestamptz,
    last_counted_on   date,
    stock_class       text                   NOT NULL DEFAULT 'special_order',
    created_at        timestamptz            NOT NULL DEFAULT now(),
    updated_at        timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_balance_id),
    UNIQUE (business_id, part_id, stock_location_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, stock_location_id)
        REFERENCES auto.stock_location (business_id, stock_location_id),
    CONSTRAINT stock_balance_class_known
        CHECK (stock_class IN ('stocked', 'special_order', 'seasonal', 'phase_out')),
    CONSTRAINT stock_balance_on_hand_not_negative CHECK (on_hand_qty >= 0),
    CONSTRAINT stock_balance_committed_is_there
        CHECK (committed_qty BETWEEN 0 AND on_hand_qty),
    CONSTRAINT stock_balance_figures_not_negative
        CHECK (on_order_qty >= 0 AND dirty_core_qty >= 0 AND average_cost >= 0
               AND last_cost >= 0 AND reorder_point_qty >= 0),
    CONSTRAINT stock_balance_order_up_to_reorder_point
        CHECK (order_up_to_qty >= reorder_point_qty),
    CONSTRAINT stock_balance_stocked_is_reordered
        CHECK (order_up_to_qty IS NULL OR reorder_point_qty IS NOT NULL)
);

COMMENT ON TABLE auto.stock_balance IS
    'On-hand, committed and core quantity of a part in a location with its reorder policy.';
COMMENT ON COLUMN auto.stock_balance.committed_qty IS
    'Of what is there, kept for part lines that are reserved or received.';
COMMENT ON COLUMN auto.stock_balance.on_order_qty IS
    'On its way to the shop when refresh_on_order() last looked; at the part''s first place there.';
COMMENT ON COLUMN auto.stock_balance.dirty_core_qty IS 'Old units on the core shelf.';
COMMENT ON COLUMN auto.stock_balance.average_cost IS
    'Moving average: what comes in is mixed with what is there, what goes out leaves it.';

-- What to reorder: stocked parts at or under their point.
CREATE INDEX stock_balance_reorder_idx
    ON auto.stock_balance (business_id, part_id)
    WHERE stock_class IN ('stocked', 'seasonal') AND on_hand_qty <= reorder_point_qty;

-- FK: the stock balances of a stock location.
CREATE INDEX stock_balance_stock_location_idx
    ON auto.stock_balance (business_id, stock_location_id);

ALTER TABLE auto.stock_balance ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.stock_balance
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.stock_balance TO app_user;
GRANT SELECT ON auto.stock_balance TO app_readonly;

CREATE TRIGGER stock_balance_touch
    BEFORE UPDATE ON auto.stock_balance
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.refuse_balance_by_hand() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF pg_trigger_depth() < 2 AND row_security_active('auto.stock_balance') THEN
        RAISE EXCEPTION 'a balance follows the ledger and the part lines, nobody writes it'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Book a count_adjustment with auto.post_stock_movement().';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.refuse_balance_by_hand() IS
    'Lets only the triggers of the ledger and of part lines write what they keep.';

CREATE TRIGGER stock_balance_starts_empty
    BEFORE INSERT ON auto.stock_balance
    FOR EACH ROW WHEN (NEW.on_hand_qty <> 0 OR NEW.committed_qty <> 0 OR NEW.dirty_core_qty <> 0)
    EXECUTE FUNCTION auto.refuse_balance_by_hand();

CREATE TRIGGER stock_balance_follows
    BEFORE UPDATE ON auto.stock_balance
    FOR EACH ROW WHEN ((NEW.on_hand_qty, NEW.committed_qty, NEW.dirty_core_qty, NEW.average_cost)
                       IS DISTINCT FROM (OLD.on_hand_qty, OLD.committed_qty, OLD.dirty_core_qty,
                                         OLD.average_cost))
    EXECUTE FUNCTION auto.refuse_balance_by_hand();


CREATE TABLE auto.stock_movement (
    business_id        uuid                   NOT NULL,
    stock_movement_id  uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    moved_by_user_id   uuid,
    part_id            uuid                   NOT NULL,
    stock_location_id  uuid                   NOT NULL,
    part_line_id       uuid,
    goods_receipt_id   uuid,
    supplier_return_id uuid,
    moved_at           timestamptz            NOT NULL DEFAULT now(),
    movement_kind      text                   NOT NULL,
    qty_delta          system_core.quantity   NOT NULL,
    unit_cost          system_core.unit_price NOT NULL DEFAULT 0,
    extended_cost      system_core.money      GENERATED ALWAYS AS (
                                                  round(qty_delta * unit_cost, 2)) STORED,
    balance_after_qty  system_core.quantity,
    count_batch_ref    text,
    reason_code        text                   NOT NULL DEFAULT 'none',
    lot_code           system_core.code,
    idempotency_ref    text                   NOT NULL,
    created_at         timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, stock_movement_id, moved_at),
    UNIQUE (business_id, idempotency_ref, moved_at),
    FOREIGN KEY (business_id, moved_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, stock_location_id)
        REFERENCES auto.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, part_line_id) REFERENCES auto.part_line (business_id, part_line_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES auto.goods_receipt (business_id, goods_receipt_id),
    FOREIGN KEY (business_id, supplier_return_id)
        REFERENCES auto.supplier_return (business_id, supplier_return_id),
    CONSTRAINT stock_movement_kind_known
        CHECK (movement_kind IN ('receipt', 'issue_to_job', 'return_from_job', 'supplier_return',
                                 'transfer_in', 'transfer_out', 'count_adjustment', 'core_in',
                                 'core_out', 'scrap', 'internal_use')),
    CONSTRAINT stock_movement_reason_code_known
        CHECK (reason_code IN ('none', 'damage', 'theft', 'miscount', 'expired', 'wrong_fit')),
    CONSTRAINT stock_movement_moves_something CHECK (qty_delta <> 0),
    CONSTRAINT stock_movement_direction_of_kind
        CHECK (movement_kind = 'count_adjustment'
               OR (qty_delta > 0) = (movement_kind IN ('receipt', 'return_from_job',
                                                       'transfer_in', 'core_in'))),
    CONSTRAINT stock_movement_count_names_batch
        CHECK (movement_kind <> 'count_adjustment' OR count_batch_ref IS NOT NULL),
    CONSTRAINT stock_movement_scrap_has_reason
        CHECK (movement_kind <> 'scrap' OR reason_code <> 'none'),
    CONSTRAINT stock_movement_cost_not_negative CHECK (unit_cost >= 0),
    CONSTRAINT stock_movement_balance_after_not_negative CHECK (balance_after_qty >= 0),
    CONSTRAINT stock_movement_of_one_document
        CHECK (num_nonnulls(part_line_id, goods_receipt_id, supplier_return_id) <= 1)
) PARTITION BY RANGE (moved_at);

COMMENT ON TABLE auto.stock_movement IS
    'Append-only ledger of every quantity and cost change, counts included.';
COMMENT ON COLUMN auto.stock_movement.balance_after_qty IS
    'What lay there afterwards, of cores for core_in and core_out; NULL where many were booked in
     one statement.';
COMMENT ON COLUMN auto.stock_movement.idempotency_ref IS
    'Kind and source: what was posted once is not posted again.';

-- FK: the stock movements by their moved by user.
CREATE INDEX stock_movement_moved_by_user_idx
    ON auto.stock_movement (business_id, moved_by_user_id)
    WHERE moved_by_user_id IS NOT NULL;

-- FK and stock_differences(): the ledger of a part and place in the order of time.
CREATE INDEX stock_movement_part_idx
    ON auto.stock_movement (business_id, part_id, stock_location_id, moved_at);

-- FK: the stock movements of a stock location.
CREATE INDEX stock_movement_stock_location_idx
    ON auto.stock_movement (business_id, stock_location_id);

-- FK: the stock movements of a part line.
CREATE INDEX stock_movement_part_line_idx
    ON auto.stock_movement (business_id, part_line_id)
    WHERE part_line_id IS NOT NULL;

-- FK: the stock movements of a goods receipt.
CREATE INDEX stock_movement_goods_receipt_idx
    ON auto.stock_movement (business_id, goods_receipt_id)
    WHERE goods_receipt_id IS NOT NULL;

-- FK: the stock movements of a supplier return.
CREATE INDEX stock_movement_supplier_return_idx
    ON auto.stock_movement (business_id, supplier_return_id)
    WHERE supplier_return_id IS NOT NULL;

ALTER TABLE auto.stock_movement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.stock_movement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.stock_movement TO app_user;
GRANT SELECT ON auto.stock_movement TO app_readonly;

CREATE TRIGGER stock_movement_append_only
    BEFORE UPDATE OR DELETE ON auto.stock_movement
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.stock_movement');

CREATE FUNCTION auto.book_movements() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    short record;
BEGIN
    -- In the order of the key, so that two bookings wait for each other and never in a circle.
    INSERT INTO auto.stock_balance (business_id, part_id, stock_location_id)
    SELECT DISTINCT x.business_id, x.part_id, x.stock_location_id
    FROM moved AS x
    ORDER BY x.business_id, x.part_id, x.stock_location_id
    ON CONFLICT (business_id, part_id, stock_location_id) DO NOTHING;

    PERFORM FROM auto.stock_balance AS b
    WHERE (b.business_id, b.part_id, b.stock_location_id) IN (
        SELECT x.business_id, x.part_id, x.stock_location_id FROM moved AS x)
    ORDER BY b.business_id, b.part_id, b.stock_location_id
    FOR NO KEY UPDATE;

    SELECT p.part_number, l.location_code, b.on_hand_qty, b.committed_qty, b.dirty_core_qty,
           m.delta, m.core_delta
    INTO short
    FROM (
        SELECT x.business_id, x.part_id, x.stock_location_id,
               coalesce(sum(x.qty_delta) FILTER (
                   WHERE x.movement_kind NOT IN ('core_in', 'core_out')), 0) AS delta,
               coalesce(sum(x.qty_delta) FILTER (
                   WHERE x.movement_kind IN ('core_in', 'core_out')), 0) AS core_delta
        FROM moved AS x
        GROUP BY x.business_id, x.part_id, x.stock_location_id
    ) AS m
    JOIN auto.stock_balance AS b USING (business_id, part_id, stock_location_id)
    JOIN auto.part AS p USING (business_id, part_id)
    JOIN auto.stock_location AS l USING (business_id, stock_location_id)
    WHERE (m.delta < 0 AND b.on_hand_qty + m.delta < b.committed_qty)
       OR b.dirty_core_qty + m.core_delta < 0
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% is short of part %: % there, % kept for jobs, % would be taken',
                        short.location_code, short.part_number,
                        CASE WHEN short.core_delta < 0 THEN short.dirty_core_qty
                             ELSE short.on_hand_qty END,
                        CASE WHEN short.core_delta < 0 THEN 0 ELSE short.committed_qty END,
                        -least(short.delta, short.core_delta)
            USING ERRCODE = 'check_violation',
                  HINT = 'Order it, take it from another place, or correct the count first.';
    END IF;

    UPDATE auto.stock_balance AS b
    SET on_hand_qty      = b.on_hand_qty + m.delta,
        dirty_core_qty   = b.dirty_core_qty + m.core_delta,
        average_cost     = CASE WHEN m.came > 0
                                THEN (b.on_hand_qty * b.average_cost + m.came_cost)
                                     / (b.on_hand_qty + m.came)
                                ELSE b.average_cost END,
        last_cost        = coalesce(m.last_cost, b.last_cost),
        last_sold_at     = greatest(b.last_sold_at, m.last_sold_at),
        last_received_at = greatest(b.last_received_at, m.last_received_at),
        last_counted_on  = greatest(b.last_counted_on, m.last_counted_on)
    FROM (
        SELECT x.business_id, x.part_id, x.stock_location_id,
               coalesce(sum(x.qty_delta) FILTER (WHERE NOT k.is_core), 0) AS delta,
               coalesce(sum(x.qty_delta) FILTER (WHERE k.is_core), 0) AS core_delta,
               sum(x.qty_delta) FILTER (WHERE k.is_costed) AS came,
               sum(x.qty_delta * x.unit_cost) FILTER (WHERE k.is_costed) AS came_cost,
               (array_agg(x.unit_cost ORDER BY x.moved_at DESC, x.stock_movement_id DESC)
                    FILTER (WHERE x.movement_kind = 'receipt'))[1] AS last_cost,
               max(x.moved_at) FILTER (WHERE x.movement_kind = 'issue_to_job') AS last_sold_at,
               max(x.moved_at) FILTER (WHERE x.movement_kind = 'receipt') AS last_received_at,
               max((x.moved_at AT TIME ZONE 'UTC')::date)
                   FILTER (WHERE x.movement_kind = 'count_adjustment') AS last_counted_on
        FROM moved AS x
        CROSS JOIN LATERAL (
            SELECT x.movement_kind IN ('core_in', 'core_out') AS is_core,
                   x.movement_kind IN ('receipt', 'return_from_job', 'transfer_in') AS is_costed
        ) AS k
        GROUP BY x.business_id, x.part_id, x.stock_location_id
    ) AS m
    WHERE b.business_id = m.business_id AND b.part_id = m.part_id
      AND b.stock_location_id = m.stock_location_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.book_movements() IS
    'Balances follow the ledger: pieces, cores and the moving average cost. Nothing is taken that
     is not there or is kept for jobs.';

CREATE TRIGGER stock_movement_book
    AFTER INSERT ON auto.stock_movement
    REFERENCING NEW TABLE AS moved
    FOR EACH STATEMENT EXECUTE FUNCTION auto.book_movements();

CREATE TABLE auto.stock_movement_default PARTITION OF auto.stock_movement DEFAULT;
ALTER TABLE auto.stock_movement_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.stock_movement_default
    USING (business_id = tenant_mgmt.current_business_id());

SELECT system_core.create_partitions('auto.stock_movement', 'month', behind => 3, ahead => 1);


CREATE TABLE auto.core_deposit (
    business_id                uuid              NOT NULL,
    core_deposit_id            uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    part_id                    uuid              NOT NULL,
    part_line_id               uuid,
    goods_receipt_id           uuid,
    supplier_id                uuid,
    supplier_return_id         uuid,
    core_number                text              NOT NULL,
    charged_to_customer_amount system_core.money NOT NULL DEFAULT 0,
    charged_by_supplier_amount system_core.money NOT NULL DEFAULT 0,
    customer_state             text              NOT NULL DEFAULT 'not_charged',
    supplier_state             text              NOT NULL DEFAULT 'not_charged',
    received_on                date,
    condition                  text,
    due_back_on                date,
    credited_amount            system_core.money NOT NULL DEFAULT 0,
    rejected_reason            text,
    tag_code                   system_core.code,
    created_at                 timestamptz       NOT NULL DEFAULT now(),
    updated_at                 timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, core_deposit_id),
    UNIQUE (business_id, core_number),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, part_line_id) REFERENCES auto.part_line (business_id, part_line_id),
    FOREIGN KEY (business_id, goods_receipt_id)
        REFERENCES auto.goods_receipt (business_id, goods_receipt_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, supplier_return_id)
        REFERENCES auto.supplier_return (business_id, supplier_return_id),
    CONSTRAINT core_deposit_customer_state_known
        CHECK (customer_state IN ('not_charged', 'charged', 'credited', 'forfeited')),
    CONSTRAINT core_deposit_supplier_state_known
        CHECK (supplier_state IN ('not_charged', 'owed', 'shipped', 'credited', 'rejected')),
    CONSTRAINT core_deposit_condition_known
        CHECK (condition IN ('good', 'cracked', 'disassembled', 'wrong_core', 'missing')),
    CONSTRAINT core_deposit_amounts_not_negative
        CHECK (charged_to_customer_amount >= 0 AND charged_by_supplier_amount >= 0
               AND credited_amount >= 0),
    CONSTRAINT core_deposit_credit_within_charge
        CHECK (credited_amount <= charged_by_supplier_amount),
    CONSTRAINT core_deposit_rejected_has_reason
        CHECK (supplier_state <> 'rejected' OR coalesce(rejected_reason, '') ~ '\S'),
    CONSTRAINT core_deposit_owed_to_a_supplier
        CHECK (supplier_state = 'not_charged' OR supplier_id IS NOT NULL),
    CONSTRAINT core_deposit_credited_by_supplier
        CHECK (credited_amount = 0 OR supplier_state = 'credited'),
    CONSTRAINT core_deposit_received_has_condition
        CHECK (received_on IS NULL OR (condition IS NOT NULL AND condition <> 'missing')),
    CONSTRAINT core_deposit_due_after_received CHECK (due_back_on > received_on)
);

COMMENT ON TABLE auto.core_deposit IS
    'Core charge owed by the customer and creditable by the supplier, followed until both sides
     settle.';
COMMENT ON COLUMN auto.core_deposit.core_number IS 'Numbered where it comes without one.';
COMMENT ON COLUMN auto.core_deposit.received_on IS 'The day the old unit was in hand.';
COMMENT ON COLUMN auto.core_deposit.condition IS 'As found when it came; missing: it never came.';
COMMENT ON COLUMN auto.core_deposit.due_back_on IS
    'The end of the supplier''s window; a core that comes later is worth nothing.';

-- The core bank: deposits that a side still owes, by the end of their window.
CREATE INDEX core_deposit_open_idx
    ON auto.core_deposit (business_id, due_back_on)
    WHERE customer_state = 'charged' OR supplier_state IN ('owed', 'shipped');

-- FK: the core deposits of a part.
CREATE INDEX core_deposit_part_idx ON auto.core_deposit (business_id, part_id);

-- FK: the core deposits of a part line.
CREATE INDEX core_deposit_part_line_idx
    ON auto.core_deposit (business_id, part_line_id)
    WHERE part_line_id IS NOT NULL;

-- FK: the core deposits of a goods receipt.
CREATE INDEX core_deposit_goods_receipt_idx
    ON auto.core_deposit (business_id, goods_receipt_id)
    WHERE goods_receipt_id IS NOT NULL;

-- FK: the core deposits of a supplier.
CREATE INDEX core_deposit_supplier_idx
    ON auto.core_deposit (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

-- FK: the core deposits of a supplier return.
CREATE INDEX core_deposit_supplier_return_idx
    ON auto.core_deposit (business_id, supplier_return_id)
    WHERE supplier_return_id IS NOT NULL;

ALTER TABLE auto.core_deposit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.core_deposit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.core_deposit TO app_user;
GRANT SELECT ON auto.core_deposit TO app_readonly;

CREATE TRIGGER core_deposit_touch
    BEFORE UPDATE ON auto.core_deposit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER core_deposit_number
    BEFORE INSERT ON auto.core_deposit
    FOR EACH ROW WHEN (NEW.core_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'core_number', 'auto_core_deposit', 'CORE-', 'core_deposit_id');

CREATE TRIGGER core_deposit_customer_machine
    BEFORE INSERT OR UPDATE OF customer_state ON auto.core_deposit
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('customer_state', '{
        "initial": ["not_charged", "charged"],
        "transitions": {
            "not_charged": ["charged"],
            "charged":     ["credited", "forfeited"],
            "credited":    [],
            "forfeited":   ["credited"]
        }}');

CREATE TRIGGER core_deposit_supplier_machine
    BEFORE INSERT OR UPDATE OF supplier_state ON auto.core_deposit
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('supplier_state', '{
        "initial": ["not_charged", "owed"],
        "transitions": {
            "not_charged": ["owed"],
            "owed":        ["shipped", "not_charged", "rejected"],
            "shipped":     ["credited", "rejected"],
            "rejected":    ["shipped"],
            "credited":    []
        }}');


CREATE FUNCTION auto.post_stock_movement(
    part uuid, place uuid, quantity numeric, kind text, source_ref text
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant      CONSTANT uuid    := tenant_mgmt.current_business_id();
    source_kind CONSTANT text    := split_part(source_ref, ':', 1);
    source      CONSTANT uuid    := CASE
        WHEN split_part(source_ref, ':', 1) IN ('part_line', 'goods_receipt', 'supplier_return')
        THEN split_part(source_ref, ':', 2)::uuid END;
    once        CONSTANT text    := kind || ':' || source_ref;
    delta       CONSTANT numeric := CASE
        WHEN kind IN ('receipt', 'return_from_job', 'transfer_in', 'core_in', 'count_adjustment')
        THEN quantity ELSE -quantity END;
    is_core     CONSTANT boolean := kind IN ('core_in', 'core_out');
    balance     auto.stock_balance;
    lapsed      record;
    found_id    uuid;
BEGIN
    IF coalesce(quantity, 0) = 0 OR (quantity < 0 AND kind <> 'count_adjustment')
       OR coalesce(source_ref, '') !~ '\S' THEN
        RAISE EXCEPTION 'a movement takes a positive quantity and names its source, not % and "%"',
                        quantity, source_ref
            USING ERRCODE = 'check_violation',
                  HINT = 'The kind tells the direction; only a count_adjustment is signed.';
    END IF;
    IF is_core AND NOT EXISTS (
        SELECT FROM auto.stock_location AS l
        WHERE l.business_id = tenant AND l.stock_location_id = place
          AND l.location_kind = 'core_shelf') THEN
        RAISE EXCEPTION 'old units lie on the core shelf, not elsewhere'
            USING ERRCODE = 'check_violation', HINT = 'Name a place of kind core_shelf.';
    END IF;

    INSERT INTO auto.stock_balance (business_id, part_id, stock_location_id)
    VALUES (tenant, part, place)
    ON CONFLICT (business_id, part_id, stock_location_id) DO NOTHING;
    SELECT b.* INTO balance
    FROM auto.stock_balance AS b
    WHERE b.business_id = tenant AND b.part_id = part AND b.stock_location_id = place
    FOR NO KEY UPDATE;

    -- Under the lock of the balance: of two calls for one source the second finds the first.
    SELECT m.stock_movement_id INTO found_id
    FROM auto.stock_movement AS m
    WHERE m.business_id = tenant AND m.idempotency_ref = once
    LIMIT 1;
    IF FOUND THEN
        RETURN found_id;
    END IF;

    INSERT INTO auto.stock_movement (
        business_id, part_id, stock_location_id, part_line_id, goods_receipt_id,
        supplier_return_id, movement_kind, qty_delta, unit_cost, balance_after_qty,
        count_batch_ref, reason_code, idempotency_ref)
    SELECT tenant, part, place,
           CASE source_kind WHEN 'part_line' THEN source END,
           CASE source_kind WHEN 'goods_receipt' THEN source END,
           CASE source_kind WHEN 'supplier_return' THEN source END,
           kind, delta,
           coalesce(
               CASE kind
                   WHEN 'receipt' THEN coalesce(
                       (SELECT r.unit_cost FROM auto.goods_receipt AS r
                        WHERE r.business_id = tenant AND r.goods_receipt_id = source),
                       balance.last_cost)
                   WHEN 'return_from_job' THEN
                       (SELECT m.unit_cost FROM auto.stock_movement AS m
                        WHERE m.business_id = tenant AND m.part_line_id = source
                          AND m.movement_kind = 'issue_to_job'
                        ORDER BY m.moved_at DESC, m.stock_movement_id DESC
                        LIMIT 1) END,
               CASE WHEN is_core
                    THEN (SELECT p.core_charge_amount FROM auto.part AS p
                          WHERE p.business_id = tenant AND p.part_id = part) END,
               balance.average_cost),
           CASE WHEN CASE WHEN is_core THEN balance.dirty_core_qty
                          ELSE balance.on_hand_qty END + delta >= 0
                THEN CASE WHEN is_core THEN balance.dirty_core_qty
                          ELSE balance.on_hand_qty END + delta END,
           CASE kind WHEN 'count_adjustment' THEN source_ref END,
           CASE kind WHEN 'count_adjustment' THEN 'miscount' WHEN 'scrap' THEN 'damage'
                     ELSE 'none' END,
           once
    RETURNING stock_movement_id INTO found_id;

    IF kind = 'issue_to_job' AND source_kind = 'part_line' THEN
        INSERT INTO auto.core_deposit (
            business_id, part_id, part_line_id, goods_receipt_id, supplier_id,
            charged_to_customer_amount, charged_by_supplier_amount, customer_state,
            supplier_state, due_back_on)
        SELECT tenant, part, l.part_line_id, bought.goods_receipt_id, s.supplier_id,
               quantity * coalesce(l.core_price, p.core_charge_amount),
               quantity * coalesce(bought.core_cost, p.core_charge_amount),
               'charged', CASE WHEN s.supplier_id IS NULL THEN 'not_charged' ELSE 'owed' END,
               tenant_mgmt.today() + coalesce(s.core_window_days, 30)
        FROM auto.part_line AS l
        JOIN auto.part AS p ON p.business_id = tenant AND p.part_id = part
        LEFT JOIN LATERAL (
            SELECT o.supplier_id, r.goods_receipt_id, x.core_cost
            FROM auto.purchase_order_line AS x
            JOIN auto.purchase_order AS o
                ON o.business_id = x.business_id AND o.purchase_order_id = x.purchase_order_id
            LEFT JOIN auto.goods_receipt AS r
                ON r.business_id = x.business_id
               AND r.purchase_order_line_id = x.purchase_order_line_id
            WHERE x.business_id = tenant AND x.part_line_id = l.part_line_id
            ORDER BY r.received_at DESC NULLS LAST, x.purchase_order_line_id
            LIMIT 1
        ) AS bought ON true
        LEFT JOIN auto.supplier AS s
            ON s.business_id = tenant
           AND s.supplier_id = coalesce(bought.supplier_id, l.supplier_id)
        WHERE l.business_id = tenant AND l.part_line_id = source AND p.core_charge_amount > 0;
    ELSIF kind = 'return_from_job' THEN
        UPDATE auto.core_deposit AS d
        SET customer_state = 'credited', supplier_state = 'not_charged'
        WHERE d.business_id = tenant AND d.part_line_id = source
          AND d.customer_state = 'charged' AND d.supplier_state IN ('owed', 'not_charged');
    ELSIF kind = 'core_in' THEN
        SELECT d.core_number, d.due_back_on INTO lapsed
        FROM auto.core_deposit AS d
        WHERE d.business_id = tenant AND d.part_line_id = source
          AND d.customer_state = 'charged' AND d.due_back_on <= tenant_mgmt.today();
        IF FOUND THEN
            RAISE EXCEPTION 'core % was due back until %', lapsed.core_number, lapsed.due_back_on
                USING ERRCODE = 'check_violation',
                      HINT = 'Forfeit the deposit, or agree on a later day with the supplier.';
        END IF;
        UPDATE auto.core_deposit AS d
        SET customer_state = 'credited',
            received_on    = tenant_mgmt.today(),
            condition      = coalesce(d.condition, 'good')
        WHERE d.business_id = tenant AND d.part_line_id = source
          AND d.customer_state = 'charged';
    ELSIF kind = 'core_out' THEN
        UPDATE auto.core_deposit AS d
        SET supplier_state = 'shipped'
        WHERE d.business_id = tenant AND d.supplier_return_id = source
          AND d.supplier_state IN ('owed', 'rejected');
    END IF;
    RETURN found_id;
END
$$;
COMMENT ON FUNCTION auto.post_stock_movement(uuid, uuid, numeric, text, text) IS
    'Posts a movement of the tenant under the lock of its balance and returns it; the source is
     part_line:<id>, goods_receipt:<id>, supplier_return:<id> or a text, and is posted once a kind.
     Issues open core deposits; cores that come in, and parts that come back, close them.';


CREATE FUNCTION auto.follow_part_lines() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line  record;
    wrong record;
BEGIN
    IF NOT row_security_active('auto.part_line') OR NOT EXISTS (
        SELECT FROM now_rows AS n
        JOIN old_rows AS o USING (business_id, part_line_id)
        WHERE (n.status, n.qty, n.part_id, n.stock_location_id)
              IS DISTINCT FROM (o.status, o.qty, o.part_id, o.stock_location_id)) THEN
        RETURN NULL;
    END IF;

    SELECT n.line_no, n.description INTO wrong
    FROM now_rows AS n
    WHERE n.status = 'reserved' AND n.part_id IS NOT NULL AND n.stock_location_id IS NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'part line % (%) cannot be reserved nowhere', wrong.line_no,
                        wrong.description
            USING ERRCODE = 'check_violation', HINT = 'Name the place to take it from.';
    END IF;

    -- All balances that are touched, in the order of the key.
    PERFORM FROM auto.stock_balance AS b
    WHERE (b.business_id, b.part_id, b.stock_location_id) IN (
        SELECT n.business_id, n.part_id, n.stock_location_id FROM now_rows AS n
        UNION ALL
        SELECT o.business_id, o.part_id, o.stock_location_id FROM old_rows AS o)
    ORDER BY b.business_id, b.part_id, b.stock_location_id
    FOR NO KEY UPDATE;

    -- What was kept for the lines is let go ...
    UPDATE auto.stock_balance AS b
    SET committed_qty = greatest(b.committed_qty - c.qty, 0)
    FROM (
        SELECT o.business_id, o.part_id, o.stock_location_id, sum(o.qty) AS qty
        FROM old_rows AS o
        WHERE o.status IN ('reserved', 'received')
        GROUP BY o.business_id, o.part_id, o.stock_location_id
    ) AS c
    WHERE b.business_id = c.business_id AND b.part_id = c.part_id
      AND b.stock_location_id = c.stock_location_id;

    -- ... what was taken and is not any more comes back, what is taken now goes ...
    FOR line IN
        SELECT c.part_line_id, c.part_id, c.stock_location_id, c.qty, c.kind,
               (SELECT count(*) FROM auto.stock_movement AS m
                WHERE m.business_id = c.business_id AND m.part_line_id = c.part_line_id) + 1
                   AS turn
        FROM (
            SELECT o.business_id, o.part_line_id, o.part_id, o.stock_location_id, o.qty,
                   'return_from_job' AS kind
            FROM old_rows AS o
            JOIN now_rows AS n USING (business_id, part_line_id)
            WHERE o.status IN ('issued', 'installed')
              AND (n.status NOT IN ('issued', 'installed')
                   OR (n.qty, n.part_id, n.stock_location_id)
                      IS DISTINCT FROM (o.qty, o.part_id, o.stock_location_id))
            UNION ALL
            SELECT n.business_id, n.part_line_id, n.part_id, n.stock_location_id, n.qty,
                   'issue_to_job'
            FROM now_rows AS n
            JOIN old_rows AS o USING (business_id, part_line_id)
            WHERE n.status IN ('issued', 'installed')
              AND (o.status NOT IN ('issued', 'installed')
                   OR (n.qty, n.part_id, n.stock_location_id)
                      IS DISTINCT FROM (o.qty, o.part_id, o.stock_location_id))
        ) AS c
        WHERE c.part_id IS NOT NULL AND c.stock_location_id IS NOT NULL AND c.qty > 0
        ORDER BY c.kind DESC, c.part_id, c.stock_location_id, c.part_line_id
    LOOP
        PERFORM auto.post_stock_movement(
            line.part_id, line.stock_location_id, line.qty, line.kind,
            format('part_line:%s:%s', line.part_line_id, line.turn));
    END LOOP;

    -- ... and what is reserved or received is kept.
    SELECT p.part_number, coalesce(b.on_hand_qty - b.committed_qty, 0) AS available, c.qty
    INTO wrong
    FROM (
        SELECT n.business_id, n.part_id, n.stock_location_id, sum(n.qty) AS qty
        FROM now_rows AS n
        WHERE n.status IN ('reserved', 'received') AND n.stock_location_id IS NOT NULL
        GROUP BY n.business_id, n.part_id, n.stock_location_id
    ) AS c
    JOIN auto.part AS p ON p.business_id = c.business_id AND p.part_id = c.part_id
    LEFT JOIN auto.stock_balance AS b
        ON b.business_id = c.business_id AND b.part_id = c.part_id
       AND b.stock_location_id = c.stock_location_id
    WHERE c.qty > coalesce(b.on_hand_qty - b.committed_qty, 0)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'of part % only % are available, % are asked for', wrong.part_number,
                        wrong.available, wrong.qty
            USING ERRCODE = 'check_violation',
                  HINT = 'Order it, or take it from another place.';
    END IF;
    UPDATE auto.stock_balance AS b
    SET committed_qty = b.committed_qty + c.qty
    FROM (
        SELECT n.business_id, n.part_id, n.stock_location_id, sum(n.qty) AS qty
        FROM now_rows AS n
        WHERE n.status IN ('reserved', 'received')
        GROUP BY n.business_id, n.part_id, n.stock_location_id
    ) AS c
    WHERE b.business_id = c.business_id AND b.part_id = c.part_id
      AND b.stock_location_id = c.stock_location_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.follow_part_lines() IS
    'Keeps stock for lines that are reserved or received, takes it for lines that are issued and
     brings it back from lines that are returned. Imported history brings its own movements.';

CREATE TRIGGER part_line_follow_stock
    AFTER UPDATE ON auto.part_line
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION auto.follow_part_lines();

CREATE FUNCTION auto.guard_stocked_part_line() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'part line % would be % without a movement of stock',
                        coalesce(NEW.line_no, OLD.line_no),
                        CASE TG_OP WHEN 'INSERT' THEN 'entered' ELSE 'deleted' END
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Enter it as needed and then reserve or issue it; return or cancel it'
                         ' before it is deleted.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION auto.guard_stocked_part_line() IS
    'A line that keeps or took stock came by a change of its status and goes by one.';

CREATE TRIGGER part_line_enters_without_stock
    BEFORE INSERT ON auto.part_line
    FOR EACH ROW WHEN (NEW.status IN ('reserved', 'received', 'issued', 'installed')
                       AND NEW.part_id IS NOT NULL AND NEW.stock_location_id IS NOT NULL)
    EXECUTE FUNCTION auto.guard_stocked_part_line();

CREATE TRIGGER part_line_leaves_without_stock
    BEFORE DELETE ON auto.part_line
    FOR EACH ROW WHEN (OLD.status IN ('reserved', 'received', 'issued', 'installed')
                       AND OLD.part_id IS NOT NULL AND OLD.stock_location_id IS NOT NULL)
    EXECUTE FUNCTION auto.guard_stocked_part_line();


CREATE FUNCTION auto.book_receipts() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    taken record;
    wrong record;
BEGIN
    IF NOT row_security_active('auto.goods_receipt') OR NOT EXISTS (SELECT FROM came) THEN
        RETURN NULL;
    END IF;

    PERFORM FROM auto.purchase_order_line AS l
    WHERE (l.business_id, l.purchase_order_line_id) IN (
        SELECT c.business_id, c.purchase_order_line_id FROM came AS c)
    ORDER BY l.business_id, l.purchase_order_line_id
    FOR NO KEY UPDATE;
    PERFORM FROM auto.purchase_order AS p
    WHERE (p.business_id, p.purchase_order_id) IN (
        SELECT l.business_id, l.purchase_order_id
        FROM came AS c
        JOIN auto.purchase_order_line AS l USING (business_id, purchase_order_line_id))
    ORDER BY p.business_id, p.purchase_order_id
    FOR NO KEY UPDATE;

    SELECT p.po_number, p.status, l.line_no, c.qty,
           l.ordered_qty - l.cancelled_qty - l.received_qty AS outstanding
    INTO wrong
    FROM (SELECT x.business_id, x.purchase_order_line_id, sum(x.received_qty) AS qty
          FROM came AS x GROUP BY x.business_id, x.purchase_order_line_id) AS c
    JOIN auto.purchase_order_line AS l USING (business_id, purchase_order_line_id)
    JOIN auto.purchase_order AS p USING (business_id, purchase_order_id)
    WHERE p.status NOT IN ('sent', 'confirmed', 'partial')
       OR c.qty > l.ordered_qty - l.cancelled_qty - l.received_qty
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'order % (%) line % awaits %, not %', wrong.po_number, wrong.status,
                        wrong.line_no, wrong.outstanding, wrong.qty
            USING ERRCODE = 'check_violation',
                  HINT = 'Receive on an order that was sent; refuse what was not ordered.';
    END IF;

    UPDATE auto.purchase_order_line AS l
    SET received_qty = l.received_qty + c.qty,
        status = CASE WHEN l.received_qty + l.cancelled_qty + c.qty = l.ordered_qty
                      THEN 'received' ELSE 'partial' END
    FROM (SELECT x.business_id, x.purchase_order_line_id, sum(x.received_qty) AS qty
          FROM came AS x GROUP BY x.business_id, x.purchase_order_line_id) AS c
    WHERE l.business_id = c.business_id
      AND l.purchase_order_line_id = c.purchase_order_line_id AND c.qty > 0;

    UPDATE auto.purchase_order AS p
    SET status = t.status
    FROM (
        SELECT l.business_id, l.purchase_order_id,
               CASE WHEN bool_and(l.received_qty + l.cancelled_qty >= l.ordered_qty)
                    THEN 'received' ELSE 'partial' END AS status
        FROM auto.purchase_order_line AS l
        WHERE (l.business_id, l.purchase_order_id) IN (
            SELECT x.business_id, x.purchase_order_id
            FROM came AS c
            JOIN auto.purchase_order_line AS x USING (business_id, purchase_order_line_id)
            WHERE c.received_qty > 0)
        GROUP BY l.business_id, l.purchase_order_id
    ) AS t
    WHERE p.business_id = t.business_id AND p.purchase_order_id = t.purchase_order_id
      AND p.status <> t.status;

    PERFORM FROM auto.part_line AS w
    WHERE (w.business_id, w.part_line_id) IN (
        SELECT l.business_id, l.part_line_id
        FROM came AS c
        JOIN auto.purchase_order_line AS l USING (business_id, purchase_order_line_id))
    ORDER BY w.business_id, w.part_line_id
    FOR NO KEY UPDATE;

    FOR taken IN
        SELECT l.part_id, c.stock_location_id, c.received_qty, c.goods_receipt_id
        FROM came AS c
        JOIN auto.purchase_order_line AS l USING (business_id, purchase_order_line_id)
        WHERE c.received_qty > 0
        ORDER BY l.part_id, c.stock_location_id, c.goods_receipt_id
    LOOP
        PERFORM auto.post_stock_movement(
            taken.part_id, taken.stock_location_id, taken.received_qty, 'receipt',
            'goods_receipt:' || taken.goods_receipt_id);
    END LOOP;

    UPDATE auto.part_line AS w
    SET status = 'received', stock_location_id = c.stock_location_id
    FROM (
        SELECT DISTINCT ON (l.business_id, l.part_line_id)
               l.business_id, l.part_line_id, l.part_id, x.stock_location_id
        FROM came AS x
        JOIN auto.purchase_order_line AS l USING (business_id, purchase_order_line_id)
        WHERE l.status = 'received' AND l.part_line_id IS NOT NULL
        ORDER BY l.business_id, l.part_line_id, x.received_qty DESC, x.goods_receipt_id
    ) AS c
    JOIN auto.stock_balance AS b
        ON b.business_id = c.business_id AND b.part_id = c.part_id
       AND b.stock_location_id = c.stock_location_id
    WHERE w.business_id = c.business_id AND w.part_line_id = c.part_line_id
      AND w.part_id = c.part_id AND w.status = 'ordered'
      AND w.qty <= b.on_hand_qty - b.committed_qty;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.book_receipts() IS
    'A receipt moves its order line and order on, goes on stock, and is kept for the part line that
     waits for it where it lies whole. Imported history brings its own movements.';

CREATE TRIGGER goods_receipt_book
    AFTER INSERT ON auto.goods_receipt
    REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION auto.book_receipts();

CREATE FUNCTION auto.ship_returns() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    gone record;
BEGIN
    IF NOT row_security_active('auto.supplier_return') THEN
        RETURN NULL;
    END IF;
    FOR gone IN
        SELECT n.part_id, n.qty, n.return_number, n.supplier_return_id,
               n.return_kind = 'core' AS is_core,
               CASE n.return_kind WHEN 'core' THEN (
                   SELECT b.stock_location_id
                   FROM auto.stock_balance AS b
                   WHERE b.business_id = n.business_id AND b.part_id = n.part_id
                     AND b.dirty_core_qty >= n.qty
                   ORDER BY b.dirty_core_qty DESC, b.stock_location_id
                   LIMIT 1)
               ELSE r.stock_location_id END AS place
        FROM now_rows AS n
        JOIN old_rows AS o USING (business_id, supplier_return_id)
        LEFT JOIN auto.goods_receipt AS r
            ON r.business_id = n.business_id AND r.goods_receipt_id = n.goods_receipt_id
        WHERE n.status = 'picked_up' AND o.status <> 'picked_up'
          AND (n.return_kind = 'core'
               OR (n.return_kind <> 'warranty' AND n.goods_receipt_id IS NOT NULL))
        ORDER BY n.part_id, place, n.supplier_return_id
    LOOP
        IF gone.place IS NULL THEN
            RAISE EXCEPTION 'return %: there are no % cores on a shelf', gone.return_number,
                            gone.qty
                USING ERRCODE = 'check_violation', HINT = 'Take the cores in first.';
        END IF;
        PERFORM auto.post_stock_movement(
            gone.part_id, gone.place, gone.qty,
            CASE WHEN gone.is_core THEN 'core_out' ELSE 'supplier_return' END,
            'supplier_return:' || gone.supplier_return_id);
    END LOOP;

    UPDATE auto.core_deposit AS d
    SET supplier_state = 'credited', credited_amount = d.charged_by_supplier_amount
    FROM now_rows AS n
    JOIN old_rows AS o USING (business_id, supplier_return_id)
    WHERE n.status = 'credited' AND o.status <> 'credited' AND n.return_kind = 'core'
      AND d.business_id = n.business_id AND d.supplier_return_id = n.supplier_return_id
      AND d.supplier_state = 'shipped';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.ship_returns() IS
    'What a supplier picks up leaves the stock, cores leave their shelf; a credit for cores settles
     their deposits. A warranty part was never on stock: it comes from the car.';

CREATE TRIGGER supplier_return_ship
    AFTER UPDATE ON auto.supplier_return
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS now_rows
    FOR EACH STATEMENT EXECUTE FUNCTION auto.ship_returns();

CREATE FUNCTION auto.refresh_on_order() RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    changed integer;
BEGIN
    UPDATE auto.stock_balance AS b
    SET on_order_qty = t.qty
    FROM (
        SELECT x.stock_balance_id, CASE x.place WHEN 1 THEN coalesce(o.qty, 0) ELSE 0 END AS qty
        FROM (
            SELECT s.stock_balance_id, s.part_id, l.shop_id,
                   row_number() OVER (
                       PARTITION BY s.part_id, l.shop_id
                       ORDER BY l.is_pickable DESC, l.location_code) AS place
            FROM auto.stock_balance AS s
            JOIN auto.stock_location AS l
                ON l.business_id = s.business_id AND l.stock_location_id = s.stock_location_id
            WHERE s.business_id = tenant
        ) AS x
        LEFT JOIN (
            SELECT l.part_id, p.shop_id,
                   sum(l.ordered_qty - l.received_qty - l.cancelled_qty) AS qty
            FROM auto.purchase_order AS p
            JOIN auto.purchase_order_line AS l
                ON l.business_id = p.business_id AND l.purchase_order_id = p.purchase_order_id
            WHERE p.business_id = tenant AND p.status IN ('sent', 'confirmed', 'partial')
            GROUP BY l.part_id, p.shop_id
        ) AS o ON o.part_id = x.part_id AND o.shop_id = x.shop_id
    ) AS t
    WHERE b.business_id = tenant AND b.stock_balance_id = t.stock_balance_id
      AND b.on_order_qty <> t.qty;
    GET DIAGNOSTICS changed = ROW_COUNT;
    RETURN changed;
END
$$;
COMMENT ON FUNCTION auto.refresh_on_order() IS
    'Tells the tenant''s balances what is on its way to their shops, and how many it told; before a
     replenishment run.';

CREATE FUNCTION auto.stock_differences() RETURNS TABLE (
    part_id           uuid,
    stock_location_id uuid,
    figure            text,
    balance_qty       numeric,
    ledger_qty        numeric
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH told AS (
        SELECT m.part_id, m.stock_location_id,
               CASE WHEN m.movement_kind IN ('core_in', 'core_out') THEN 'dirty_core_qty'
                    ELSE 'on_hand_qty' END AS figure, sum(m.qty_delta) AS qty
        FROM auto.stock_movement AS m
        WHERE m.business_id = tenant_mgmt.current_business_id()
        GROUP BY 1, 2, 3
        UNION ALL
        SELECT l.part_id, l.stock_location_id, 'committed_qty', sum(l.qty)
        FROM auto.part_line AS l
        WHERE l.business_id = tenant_mgmt.current_business_id()
          AND l.status IN ('reserved', 'received')
          AND l.part_id IS NOT NULL AND l.stock_location_id IS NOT NULL
        GROUP BY 1, 2
    ), kept AS (
        SELECT b.part_id, b.stock_location_id, f.figure, f.qty
        FROM auto.stock_balance AS b
        CROSS JOIN LATERAL (VALUES ('on_hand_qty', b.on_hand_qty::numeric),
                                   ('committed_qty', b.committed_qty::numeric),
                                   ('dirty_core_qty', b.dirty_core_qty::numeric))
                           AS f (figure, qty)
        WHERE b.business_id = tenant_mgmt.current_business_id()
    )
    SELECT coalesce(k.part_id, t.part_id), coalesce(k.stock_location_id, t.stock_location_id),
           coalesce(k.figure, t.figure), coalesce(k.qty, 0), coalesce(t.qty, 0)
    FROM kept AS k
    FULL JOIN told AS t
        ON t.part_id = k.part_id AND t.stock_location_id = k.stock_location_id
       AND t.figure = k.figure
    WHERE coalesce(k.qty, 0) <> coalesce(t.qty, 0);
END;
COMMENT ON FUNCTION auto.stock_differences() IS
    'Where the tenant''s balances are not what the ledger and the part lines tell; empty while all
     is well.';


CREATE TABLE auto.parts_demand_forecast (
    business_id                 uuid                   NOT NULL,
    parts_demand_forecast_id    uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    part_id                     uuid                   NOT NULL,
    shop_id                     uuid                   NOT NULL,
    forecast_week_on            date                   NOT NULL,
    horizon_weeks               integer                NOT NULL DEFAULT 1,
    model_name                  text,
    expected_qty                system_core.quantity   NOT NULL DEFAULT 0,
    lower_qty                   system_core.quantity   NOT NULL DEFAULT 0,
    upper_qty                   system_core.quantity,
    vehicles_in_operation_count integer                NOT NULL DEFAULT 0,
    lost_sale_qty               system_core.quantity   NOT NULL DEFAULT 0,
    suggested_reorder_qty       system_core.quantity,
    actual_qty                  system_core.quantity,
    absolute_error_pct          system_core.percentage GENERATED ALWAYS AS (round(
                                    100 * abs(expected_qty - actual_qty) / nullif(actual_qty, 0),
                                    4)) STORED,
    generated_at                timestamptz            NOT NULL DEFAULT now(),
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, parts_demand_forecast_id),
    UNIQUE (business_id, part_id, shop_id, forecast_week_on, horizon_weeks),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT parts_demand_forecast_within_its_band
        CHECK (lower_qty <= expected_qty AND expected_qty <= upper_qty),
    CONSTRAINT parts_demand_forecast_week_begins_on_monday
        CHECK (extract(isodow FROM forecast_week_on) = 1),
    CONSTRAINT parts_demand_forecast_horizon_plausible CHECK (horizon_weeks BETWEEN 1 AND 52),
    CONSTRAINT parts_demand_forecast_figures_not_negative
        CHECK (lower_qty >= 0 AND vehicles_in_operation_count >= 0 AND lost_sale_qty >= 0
               AND suggested_reorder_qty >= 0 AND actual_qty >= 0)
);

COMMENT ON TABLE auto.parts_demand_forecast IS
    'Weekly demand expectation of a part with its reorder advice.';
COMMENT ON COLUMN auto.parts_demand_forecast.forecast_week_on IS 'The Monday of the week.';
COMMENT ON COLUMN auto.parts_demand_forecast.lost_sale_qty IS
    'Asked for in the weeks before and not sold because it was not there.';
COMMENT ON COLUMN auto.parts_demand_forecast.actual_qty IS 'NULL until the week is over.';

-- FK and replenishment: the forecasts of a shop for a week.
CREATE INDEX parts_demand_forecast_shop_idx
    ON auto.parts_demand_forecast (business_id, shop_id, forecast_week_on);

ALTER TABLE auto.parts_demand_forecast ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.parts_demand_forecast
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.parts_demand_forecast TO app_user;
GRANT SELECT ON auto.parts_demand_forecast TO app_readonly;

CREATE TRIGGER parts_demand_forecast_touch
    BEFORE UPDATE ON auto.parts_demand_forecast
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE VIEW auto.v_parts_to_chase WITH (security_invoker = true) AS
    SELECT o.business_id,
           o.shop_id,
           o.repair_order_id,
           o.ro_number,
           o.status                         AS order_status,
           o.promised_at                    AS promised_to_customer_at,
           j.repair_job_id,
           j.name                           AS job_name,
           l.purchase_order_line_id,
           p.po_number,
           l.status                         AS line_status,
           l.ordered_qty - l.received_qty - l.cancelled_qty AS outstanding_qty,
           part.part_id,
           part.part_number,
           part.description                 AS part_description,
           p.supplier_id,
           -- Not joined: an eighth table would make planning take twelve times as long.
           (SELECT s.name
            FROM auto.supplier AS s
            WHERE s.business_id = p.business_id AND s.supplier_id = p.supplier_id)
                                            AS supplier_name,
           eta.at                           AS eta_at,
           eta.at IS NULL OR eta.at < now() AS is_overdue,
           coalesce(eta.at > o.promised_at, false) AS breaks_promise,
           round(extract(epoch FROM eta.at - o.promised_at) / 60) AS minutes_after_promise,
           other.offers                     AS alternative_count,
           other.best_cost                  AS alternative_best_cost,
           other.first_eta_at               AS alternative_first_eta_at
    FROM auto.purchase_order_line AS l
    JOIN auto.purchase_order AS p
        ON p.business_id = l.business_id AND p.purchase_order_id = l.purchase_order_id
       AND p.status IN ('sent', 'confirmed', 'partial')
    JOIN auto.part_line AS w
        ON w.business_id = l.business_id AND w.part_line_id = l.part_line_id
       AND w.status IN ('needed', 'ordered')
    JOIN auto.repair_job AS j
        ON j.business_id = w.business_id AND j.repair_job_id = w.repair_job_id
       AND j.status NOT IN ('declined', 'done', 'cancelled')
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
       AND o.status NOT IN ('invoiced', 'closed', 'cancelled')
    JOIN auto.part AS part
        ON part.business_id = l.business_id AND part.part_id = l.part_id
    CROSS JOIN LATERAL (
        SELECT CASE l.status WHEN 'backordered' THEN greatest(l.eta_at, l.back_order_on)
                             ELSE coalesce(l.eta_at, p.promised_at) END AS at
    ) AS eta
    CROSS JOIN LATERAL (
        SELECT count(*) AS offers, min(q.unit_cost) AS best_cost, min(q.eta_at) AS first_eta_at
        FROM auto.parts_quote AS q
        WHERE q.business_id = l.business_id AND q.repair_job_id = j.repair_job_id
          AND (q.part_id = l.part_id OR q.part_type_id = part.part_type_id)
          AND q.supplier_id <> p.supplier_id AND q.outcome IN ('pending', 'rejected')
          AND q.unit_cost IS NOT NULL AND q.available_qty >= l.ordered_qty - l.received_qty
                                                             - l.cancelled_qty
          AND (q.expires_at IS NULL OR q.expires_at > now())
    ) AS other
    WHERE l.business_id = tenant_mgmt.current_business_id()
      AND l.status IN ('open', 'backordered', 'partial', 'substituted');
COMMENT ON VIEW auto.v_parts_to_chase IS
    'Parts that were ordered for a car in the shop and have not come: supplier, arrival against what
     was promised to the customer, and what others quoted for it.';
GRANT SELECT ON auto.v_parts_to_chase TO app_user, app_readonly;

CREATE VIEW auto.v_core_bank WITH (security_invoker = true) AS
    SELECT d.business_id,
           d.core_deposit_id,
           d.core_number,
           d.part_id,
           part.part_number,
           d.supplier_id,
           s.name                                   AS supplier_name,
           o.repair_order_id,
           o.ro_number,
           o.customer_id,
           d.customer_state,
           d.supplier_state,
           CASE d.customer_state WHEN 'charged' THEN d.charged_to_customer_amount
                                 ELSE 0 END         AS held_for_customer_amount,
           CASE WHEN d.supplier_state IN ('owed', 'shipped') THEN d.charged_by_supplier_amount
                ELSE 0 END                          AS due_from_supplier_amount,
           d.received_on,
           d.due_back_on,
           d.due_back_on - tenant_mgmt.today()      AS days_left,
           d.due_back_on < tenant_mgmt.today()
               AND d.supplier_state <> 'shipped'    AS is_lapsed
    FROM auto.core_deposit AS d
    JOIN auto.part AS part
        ON part.business_id = d.business_id AND part.part_id = d.part_id
    LEFT JOIN auto.supplier AS s
        ON s.business_id = d.business_id AND s.supplier_id = d.supplier_id
    LEFT JOIN auto.part_line AS l
        ON l.business_id = d.business_id AND l.part_line_id = d.part_line_id
    LEFT JOIN auto.repair_job AS j
        ON j.business_id = d.business_id AND j.repair_job_id = l.repair_job_id
    LEFT JOIN auto.repair_order AS o
        ON o.business_id = d.business_id AND o.repair_order_id = j.repair_order_id
    WHERE d.business_id = tenant_mgmt.current_business_id()
      AND (d.customer_state = 'charged' OR d.supplier_state IN ('owed', 'shipped'));
COMMENT ON VIEW auto.v_core_bank IS
    'Deposits that are not settled: old units that customers still have to bring, and credits that
     suppliers still owe, with the days that are left of the window.';
GRANT SELECT ON auto.v_core_bank TO app_user, app_readonly;
