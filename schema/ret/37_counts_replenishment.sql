/*
 * Counts and replenishment: whether what the books say is there, and what is missing of it.
 *
 * A cycle_count freezes what is expected, is counted line by line, recounted by another where it
 * differs, and posted once by ret.post_cycle_count(): what moved since the freeze is no variance,
 * the rest goes to the ledger. A replenishment_rule says how a variant is refilled at a location,
 * from a supplier or from another location; ret.suggest_replenishment() turns rules, positions and
 * demand of the ledger into replenishment_suggestion rows that a planner decides on.
 */

CREATE TABLE ret.cycle_count (
    business_id      uuid                 NOT NULL,
    cycle_count_id   uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    assigned_user_id uuid                 NOT NULL,
    recount_user_id  uuid,
    location_id      uuid                 NOT NULL,
    category_id      uuid,
    count_number     text                 NOT NULL,
    count_kind       text                 NOT NULL,
    trigger_kind     text                 NOT NULL,
    state            text                 NOT NULL DEFAULT 'requested',
    requested_at     timestamptz          NOT NULL DEFAULT now(),
    started_at       timestamptz,
    completed_at     timestamptz,
    freeze_at        timestamptz,
    lines_total      integer              NOT NULL DEFAULT 0,
    lines_accurate   integer,
    variance_units   system_core.quantity,
    variance_value   system_core.money,
    created_at       timestamptz          NOT NULL DEFAULT now(),
    updated_at       timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cycle_count_id),
    UNIQUE (business_id, count_number),
    FOREIGN KEY (business_id, assigned_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, recount_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, category_id) REFERENCES ret.category (business_id, category_id),
    CONSTRAINT cycle_count_kind_known
        CHECK (count_kind IN ('cycle', 'full', 'spot', 'blind', 'rfid')),
    CONSTRAINT cycle_count_trigger_kind_known
        CHECK (trigger_kind IN ('schedule', 'abc', 'negative_stock', 'high_value', 'zero_stock',
                                'manual')),
    CONSTRAINT cycle_count_state_known
        CHECK (state IN ('requested', 'counting', 'counted', 'investigating', 'ready_to_review',
                         'reviewed', 'completed', 'cancelled')),
    CONSTRAINT cycle_count_accurate_bounded
        CHECK (lines_accurate BETWEEN 0 AND lines_total),
    CONSTRAINT cycle_count_recounted_by_another CHECK (recount_user_id <> assigned_user_id),
    CONSTRAINT cycle_count_starts_after_request CHECK (started_at >= requested_at),
    CONSTRAINT cycle_count_freezes_after_request CHECK (freeze_at >= requested_at),
    CONSTRAINT cycle_count_completes_after_freeze CHECK (completed_at >= freeze_at),
    CONSTRAINT cycle_count_started_is_frozen
        CHECK (state IN ('requested', 'cancelled')
               OR (started_at IS NOT NULL AND freeze_at IS NOT NULL)),
    CONSTRAINT cycle_count_completed_has_time
        CHECK ((completed_at IS NOT NULL) = (state = 'completed'))
);

COMMENT ON TABLE ret.cycle_count IS
    'A planned or triggered count by zone, class or discrepancy; it is posted once, by
     ret.post_cycle_count().';
COMMENT ON COLUMN ret.cycle_count.freeze_at IS
    'When what was expected was noted; trading goes on, the ledger knows what moved since.';
COMMENT ON COLUMN ret.cycle_count.category_id IS 'What is counted; NULL for everything.';

-- FK: the cycle counts by their assigned user.
CREATE INDEX cycle_count_assigned_user_idx ON ret.cycle_count (business_id, assigned_user_id);

-- FK: the cycle counts by their recount user.
CREATE INDEX cycle_count_recount_user_idx
    ON ret.cycle_count (business_id, recount_user_id)
    WHERE recount_user_id IS NOT NULL;

-- FK: the cycle counts of a location.
CREATE INDEX cycle_count_location_idx ON ret.cycle_count (business_id, location_id);

-- FK: the cycle counts of a category.
CREATE INDEX cycle_count_category_idx
    ON ret.cycle_count (business_id, category_id)
    WHERE category_id IS NOT NULL;

ALTER TABLE ret.cycle_count ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cycle_count
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cycle_count TO app_user;
GRANT SELECT ON ret.cycle_count TO app_readonly;

CREATE TRIGGER cycle_count_touch
    BEFORE UPDATE ON ret.cycle_count
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER cycle_count_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.cycle_count
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["requested"],
        "transitions": {
            "requested":       ["counting", "cancelled"],
            "counting":        ["counted", "cancelled"],
            "counted":         ["investigating", "ready_to_review", "cancelled"],
            "investigating":   ["ready_to_review", "cancelled"],
            "ready_to_review": ["investigating", "reviewed", "cancelled"],
            "reviewed":        ["completed"],
            "completed":       [],
            "cancelled":       []
        }}');

CREATE FUNCTION ret.freeze_count() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.started_at := coalesce(NEW.started_at, now());
    NEW.freeze_at := coalesce(NEW.freeze_at, now());
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.freeze_count() IS 'Counting starts from what the books say at a moment.';

CREATE TRIGGER cycle_count_freezes
    BEFORE UPDATE OF state ON ret.cycle_count
    FOR EACH ROW WHEN (NEW.state = 'counting' AND OLD.state = 'requested')
    EXECUTE FUNCTION ret.freeze_count();

CREATE FUNCTION ret.refuse_completion_by_hand() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) AND EXISTS (
        SELECT FROM ret.cycle_count_line AS l
        WHERE l.business_id = NEW.business_id AND l.cycle_count_id = NEW.cycle_count_id
          AND (l.state NOT IN ('accepted', 'adjusted')
               OR (l.state = 'accepted' AND l.variance_qty <> 0))) THEN
        RAISE EXCEPTION 'count % has lines that were not posted', NEW.count_number
            USING ERRCODE = 'check_violation', HINT = 'Call ret.post_cycle_count().';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.refuse_completion_by_hand() IS
    'A count is complete when every variance of it is in the ledger.';

CREATE TRIGGER cycle_count_completes
    BEFORE UPDATE OF state ON ret.cycle_count
    FOR EACH ROW WHEN (NEW.state = 'completed' AND OLD.state <> 'completed')
    EXECUTE FUNCTION ret.refuse_completion_by_hand();


CREATE TABLE ret.cycle_count_line (
    business_id         uuid                 NOT NULL,
    cycle_count_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    cycle_count_id      uuid                 NOT NULL,
    product_variant_id  uuid                 NOT NULL,
    bin_location_id     uuid,
    stock_lot_id        uuid,
    line_number         integer              NOT NULL,
    expected_qty        system_core.quantity,
    counted_qty         system_core.quantity,
    recount_qty         system_core.quantity,
    final_qty           system_core.quantity,
    variance_qty        system_core.quantity GENERATED ALWAYS AS (final_qty - expected_qty) STORED,
    variance_value      system_core.money,
    root_cause          text                 NOT NULL DEFAULT 'none',
    counted_at          timestamptz,
    state               text                 NOT NULL DEFAULT 'open',
    created_at          timestamptz          NOT NULL DEFAULT now(),
    updated_at          timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cycle_count_line_id),
    UNIQUE (business_id, cycle_count_id, line_number),
    FOREIGN KEY (business_id, cycle_count_id)
        REFERENCES ret.cycle_count (business_id, cycle_count_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, bin_location_id)
        REFERENCES ret.bin_location (business_id, bin_location_id),
    FOREIGN KEY (business_id, stock_lot_id) REFERENCES ret.stock_lot (business_id, stock_lot_id),
    CONSTRAINT cycle_count_line_root_cause_known
        CHECK (root_cause IN ('none', 'miscounted', 'missing_transaction', 'misplaced', 'theft',
                              'damage', 'receiving_error', 'found')),
    CONSTRAINT cycle_count_line_state_known
        CHECK (state IN ('open', 'counted', 'recount', 'accepted', 'adjusted')),
    CONSTRAINT cycle_count_line_counts_not_negative
        CHECK (least(counted_qty, recount_qty, final_qty) >= 0),
    CONSTRAINT cycle_count_line_counted_has_quantity
        CHECK (state = 'open' OR (counted_qty IS NOT NULL AND counted_at IS NOT NULL)),
    CONSTRAINT cycle_count_line_accepted_is_final
        CHECK (state NOT IN ('accepted', 'adjusted') OR final_qty IS NOT NULL),
    CONSTRAINT cycle_count_line_final_was_counted
        CHECK (final_qty IN (counted_qty, coalesce(recount_qty, counted_qty)))
);

COMMENT ON TABLE ret.cycle_count_line IS
    'Expected against counted quantity, with recount and root cause.';
COMMENT ON COLUMN ret.cycle_count_line.expected_qty IS
    'On hand when the count was frozen; posting adds what moved until it was counted.';
COMMENT ON COLUMN ret.cycle_count_line.counted_at IS 'When somebody last looked at the shelf.';

-- FK: the cycle count lines of a product variant.
CREATE INDEX cycle_count_line_product_variant_idx
    ON ret.cycle_count_line (business_id, product_variant_id);

-- FK: the cycle count lines of a bin location.
CREATE INDEX cycle_count_line_bin_location_idx
    ON ret.cycle_count_line (business_id, bin_location_id)
    WHERE bin_location_id IS NOT NULL;

-- FK: the cycle count lines of a stock lot.
CREATE INDEX cycle_count_line_stock_lot_idx
    ON ret.cycle_count_line (business_id, stock_lot_id)
    WHERE stock_lot_id IS NOT NULL;

ALTER TABLE ret.cycle_count_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.cycle_count_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.cycle_count_line TO app_user;
GRANT SELECT ON ret.cycle_count_line TO app_readonly;

CREATE TRIGGER cycle_count_line_touch
    BEFORE UPDATE ON ret.cycle_count_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER cycle_count_line_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.cycle_count_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["open"],
        "transitions": {
            "open":     ["counted"],
            "counted":  ["recount", "accepted"],
            "recount":  ["accepted", "counted"],
            "accepted": ["adjusted", "recount"],
            "adjusted": []
        }}');

CREATE FUNCTION ret.expect_counts() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE ret.cycle_count_line AS l
    SET expected_qty = coalesce(
        CASE WHEN l.stock_lot_id IS NOT NULL
             THEN (SELECT o.remaining_qty FROM ret.stock_lot AS o
                   WHERE o.business_id = l.business_id AND o.stock_lot_id = l.stock_lot_id)
             ELSE (SELECT sum(s.on_hand_qty) FROM ret.stock_level AS s
                   WHERE s.business_id = l.business_id AND s.location_id = NEW.location_id
                     AND s.product_variant_id = l.product_variant_id
                     AND s.consignment_agreement_id IS NULL) END, 0)
    WHERE l.business_id = NEW.business_id AND l.cycle_count_id = NEW.cycle_count_id
      AND l.expected_qty IS NULL;
    UPDATE ret.cycle_count AS c
    SET lines_total = (SELECT count(*) FROM ret.cycle_count_line AS l
                       WHERE l.business_id = NEW.business_id
                         AND l.cycle_count_id = NEW.cycle_count_id)
    WHERE c.business_id = NEW.business_id AND c.cycle_count_id = NEW.cycle_count_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION ret.expect_counts() IS
    'What the books say of every line when the count is frozen, where nobody said it.';

CREATE TRIGGER cycle_count_expects
    AFTER UPDATE OF state ON ret.cycle_count
    FOR EACH ROW WHEN (NEW.state = 'counting' AND OLD.state = 'requested')
    EXECUTE FUNCTION ret.expect_counts();


CREATE FUNCTION ret.post_cycle_count(cycle_count uuid) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    head   ret.cycle_count;
    open   integer;
    value  numeric;
BEGIN
    SELECT c.* INTO head
    FROM ret.cycle_count AS c
    WHERE c.business_id = tenant AND c.cycle_count_id = cycle_count
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no count %', cycle_count USING ERRCODE = 'no_data_found';
    ELSIF head.state <> 'reviewed' THEN
        RAISE EXCEPTION 'count % is %, it is posted when it was reviewed', head.count_number,
                        head.state
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT l.line_number INTO open
    FROM ret.cycle_count_line AS l
    WHERE l.business_id = tenant AND l.cycle_count_id = cycle_count AND l.state <> 'accepted'
    ORDER BY l.line_number
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'line % of count % is not accepted', open, head.count_number
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM FROM ret.stock_level AS s
    WHERE s.business_id = tenant AND s.location_id = head.location_id
      AND s.consignment_agreement_id IS NULL
      AND s.product_variant_id IN (
          SELECT l.product_variant_id FROM ret.cycle_count_line AS l
          WHERE l.business_id = tenant AND l.cycle_count_id = cycle_count)
    ORDER BY s.product_variant_id
    FOR NO KEY UPDATE;

    -- What moved between the freeze and the look at the shelf is no variance. Where one variant
    -- has lines of several bins, only what moved in the bin is of the line.
    UPDATE ret.cycle_count_line AS l
    SET expected_qty = l.expected_qty + n.change
    FROM (
        SELECT x.cycle_count_line_id,
               sum(ret.on_hand_change(m.from_state, m.to_state, m.quantity)) AS change
        FROM ret.cycle_count_line AS x
        JOIN ret.stock_movement AS m
            ON m.business_id = x.business_id AND m.location_id = head.location_id
           AND m.product_variant_id = x.product_variant_id
           AND m.consignment_agreement_id IS NULL
           AND m.occurred_at > head.freeze_at AND m.occurred_at <= x.counted_at
           AND (x.stock_lot_id IS NULL OR m.stock_lot_id = x.stock_lot_id)
        WHERE x.business_id = tenant AND x.cycle_count_id = cycle_count
          AND (m.bin_location_id = x.bin_location_id OR NOT EXISTS (
              SELECT FROM ret.cycle_count_line AS o
              WHERE o.business_id = tenant AND o.cycle_count_id = cycle_count
                AND o.product_variant_id = x.product_variant_id
                AND o.stock_lot_id IS NOT DISTINCT FROM x.stock_lot_id
                AND o.cycle_count_line_id <> x.cycle_count_line_id))
        GROUP BY x.cycle_count_line_id
    ) AS n
    WHERE l.business_id = tenant AND l.cycle_count_line_id = n.cycle_count_line_id
      AND n.change <> 0;

    INSERT INTO ret.stock_movement
        (business_id, location_id, product_variant_id, stock_lot_id, bin_location_id,
         movement_kind, from_state, to_state, quantity, source_kind, source_id)
    SELECT tenant, head.location_id, l.product_variant_id, l.stock_lot_id, l.bin_location_id,
           'count', CASE WHEN l.variance_qty < 0 THEN 'available' ELSE 'none' END,
           CASE WHEN l.variance_qty < 0 THEN 'none' ELSE 'available' END, abs(l.variance_qty),
           'count', cycle_count
    FROM ret.cycle_count_line AS l
    WHERE l.business_id = tenant AND l.cycle_count_id = cycle_count AND l.variance_qty <> 0
    ORDER BY l.product_variant_id, l.line_number;

    UPDATE ret.cycle_count_line AS l
    SET state = CASE WHEN l.variance_qty = 0 THEN 'accepted' ELSE 'adjusted' END,
        variance_value = round(l.variance_qty * s.average_cost, 2)
    FROM ret.stock_level AS s
    WHERE l.business_id = tenant AND l.cycle_count_id = cycle_count
      AND s.business_id = tenant AND s.location_id = head.location_id
      AND s.product_variant_id = l.product_variant_id AND s.consignment_agreement_id IS NULL;
    UPDATE ret.stock_level AS s
    SET last_counted_at = greatest(s.last_counted_at, l.counted_at)
    FROM (SELECT x.product_variant_id, max(x.counted_at) AS counted_at
          FROM ret.cycle_count_line AS x
          WHERE x.business_id = tenant AND x.cycle_count_id = cycle_count
          GROUP BY x.product_variant_id) AS l
    WHERE s.business_id = tenant AND s.location_id = head.location_id
      AND s.product_variant_id = l.product_variant_id AND s.consignment_agreement_id IS NULL;

    UPDATE ret.cycle_count AS c
    SET state = 'completed', completed_at = greatest(now(), c.freeze_at),
        lines_total = n.lines, lines_accurate = n.accurate, variance_units = n.units,
        variance_value = n.value
    FROM (
        SELECT count(*) AS lines, count(*) FILTER (WHERE l.variance_qty = 0) AS accurate,
               coalesce(sum(l.variance_qty), 0) AS units,
               coalesce(sum(l.variance_value), 0) AS value
        FROM ret.cycle_count_line AS l
        WHERE l.business_id = tenant AND l.cycle_count_id = cycle_count
    ) AS n
    WHERE c.business_id = tenant AND c.cycle_count_id = cycle_count
    RETURNING c.variance_value INTO value;
    RETURN value;
END
$$;
COMMENT ON FUNCTION ret.post_cycle_count(uuid) IS
    'Posts the variances of a reviewed count once: expected is the frozen quantity with what moved
     until it was counted. Returns what they are worth at the average cost.';


CREATE TABLE ret.replenishment_rule (
    business_id           uuid                   NOT NULL,
    replenishment_rule_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    source_location_id    uuid,
    location_id           uuid                   NOT NULL,
    product_variant_id    uuid                   NOT NULL,
    supplier_id           uuid,
    method                text                   NOT NULL,
    min_qty               system_core.quantity,
    max_qty               system_core.quantity,
    reorder_point         system_core.quantity,
    safety_stock_qty      system_core.quantity,
    days_of_cover         system_core.quantity,
    review_every_days     integer                NOT NULL DEFAULT 7,
    order_multiple        integer                NOT NULL DEFAULT 1,
    service_level_pct     system_core.percentage,
    is_active             boolean                NOT NULL DEFAULT true,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, replenishment_rule_id),
    UNIQUE (business_id, location_id, product_variant_id),
    FOREIGN KEY (business_id, source_location_id)
        REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES ret.supplier (business_id, supplier_id),
    CONSTRAINT replenishment_rule_method_known
        CHECK (method IN ('min_max', 'reorder_point', 'days_of_cover', 'demand_driven',
                          'presentation')),
    CONSTRAINT replenishment_rule_max_not_below_min CHECK (max_qty >= min_qty),
    CONSTRAINT replenishment_rule_has_one_source
        CHECK (num_nonnulls(source_location_id, supplier_id) = 1),
    CONSTRAINT replenishment_rule_service_level_pct_bounded
        CHECK (service_level_pct BETWEEN 50 AND 99.9),
    CONSTRAINT replenishment_rule_goes_elsewhere CHECK (source_location_id <> location_id),
    CONSTRAINT replenishment_rule_multiple_positive CHECK (order_multiple >= 1),
    CONSTRAINT replenishment_rule_review_positive CHECK (review_every_days >= 1),
    CONSTRAINT replenishment_rule_quantities_not_negative
        CHECK (least(min_qty, reorder_point, safety_stock_qty, days_of_cover) >= 0),
    CONSTRAINT replenishment_rule_method_has_figures CHECK (CASE method
        WHEN 'min_max' THEN num_nonnulls(min_qty, max_qty) = 2
        WHEN 'presentation' THEN num_nonnulls(min_qty, max_qty) = 2
        WHEN 'reorder_point' THEN reorder_point IS NOT NULL
        WHEN 'days_of_cover' THEN days_of_cover IS NOT NULL
        ELSE true END)
);

COMMENT ON TABLE ret.replenishment_rule IS
    'How a variant is refilled at a location and from where: another location or a supplier.';
COMMENT ON COLUMN ret.replenishment_rule.service_level_pct IS
    'How often it may not run out before more comes; what safety stock is figured from.';
COMMENT ON COLUMN ret.replenishment_rule.safety_stock_qty IS
    'At least so much is kept; NULL where the service level alone says.';
COMMENT ON COLUMN ret.replenishment_rule.order_multiple IS
    'What is asked for comes in such packs.';

-- FK: the replenishment rules by their source location.
CREATE INDEX replenishment_rule_source_location_idx
    ON ret.replenishment_rule (business_id, source_location_id)
    WHERE source_location_id IS NOT NULL;

-- FK: the replenishment rules of a product variant.
CREATE INDEX replenishment_rule_product_variant_idx
    ON ret.replenishment_rule (business_id, product_variant_id);

-- FK: the replenishment rules of a supplier.
CREATE INDEX replenishment_rule_supplier_idx
    ON ret.replenishment_rule (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

ALTER TABLE ret.replenishment_rule ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.replenishment_rule
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.replenishment_rule TO app_user;
GRANT SELECT ON ret.replenishment_rule TO app_readonly;

CREATE TRIGGER replenishment_rule_touch
    BEFORE UPDATE ON ret.replenishment_rule
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE ret.replenishment_suggestion (
    business_id                 uuid                    NOT NULL,
    replenishment_suggestion_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    replenishment_rule_id       uuid                    NOT NULL,
    location_id                 uuid                    NOT NULL,
    product_variant_id          uuid                    NOT NULL,
    run_at                      timestamptz             NOT NULL,
    suggested_qty               system_core.quantity    NOT NULL,
    accepted_qty                system_core.quantity,
    on_hand_qty                 system_core.quantity,
    on_order_qty                system_core.quantity,
    forecast_qty                system_core.quantity,
    days_cover_after            system_core.quantity,
    stockout_risk_pct           system_core.percentage,
    inputs_doc                  system_core.json_object NOT NULL DEFAULT '{}',
    state                       text                    NOT NULL DEFAULT 'proposed',
    decided_at                  timestamptz,
    created_at                  timestamptz             NOT NULL DEFAULT now(),
    updated_at                  timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, replenishment_suggestion_id),
    UNIQUE (business_id, replenishment_rule_id, run_at),
    FOREIGN KEY (business_id, replenishment_rule_id)
        REFERENCES ret.replenishment_rule (business_id, replenishment_rule_id),
    FOREIGN KEY (business_id, location_id) REFERENCES ret.location (business_id, location_id),
    FOREIGN KEY (business_id, product_variant_id)
        REFERENCES ret.product_variant (business_id, product_variant_id),
    CONSTRAINT replenishment_suggestion_state_known
        CHECK (state IN ('proposed', 'accepted', 'changed', 'rejected', 'expired')),
    CONSTRAINT replenishment_suggestion_decided_has_time
        CHECK ((decided_at IS NOT NULL) = (state <> 'proposed')),
    CONSTRAINT replenishment_suggestion_decided_after_run CHECK (decided_at >= run_at),
    CONSTRAINT replenishment_suggestion_asks_for_something CHECK (suggested_qty > 0),
    CONSTRAINT replenishment_suggestion_accepted_not_negative CHECK (accepted_qty >= 0),
    CONSTRAINT replenishment_suggestion_accepted_says_how_much
        CHECK (state NOT IN ('accepted', 'changed') OR accepted_qty IS NOT NULL),
    CONSTRAINT replenishment_suggestion_changed_is_another
        CHECK (CASE state WHEN 'accepted' THEN accepted_qty = suggested_qty
                          WHEN 'changed' THEN accepted_qty <> suggested_qty ELSE true END),
    CONSTRAINT replenishment_suggestion_risk_bounded CHECK (stockout_risk_pct BETWEEN 0 AND 100)
);

COMMENT ON TABLE ret.replenishment_suggestion IS
    'A proposed transfer or order line with the reasons behind it; expires when the next run comes
     to another result.';
COMMENT ON COLUMN ret.replenishment_suggestion.inputs_doc IS
    'The numbers behind it: position, demand a day, lead time, safety stock, target, rounding.';
COMMENT ON COLUMN ret.replenishment_suggestion.forecast_qty IS
    'Demand expected until the next review has brought its goods.';

-- FK: the replenishment suggestions of a location.
CREATE INDEX replenishment_suggestion_location_idx
    ON ret.replenishment_suggestion (business_id, location_id);

-- replenishment_worklist: what is to be decided, the worst first.
CREATE INDEX replenishment_suggestion_open_idx
    ON ret.replenishment_suggestion (business_id, location_id, stockout_risk_pct DESC)
    WHERE state = 'proposed';

-- FK: the replenishment suggestions of a product variant.
CREATE INDEX replenishment_suggestion_product_variant_idx
    ON ret.replenishment_suggestion (business_id, product_variant_id);

ALTER TABLE ret.replenishment_suggestion ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON ret.replenishment_suggestion
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON ret.replenishment_suggestion TO app_user;
GRANT SELECT ON ret.replenishment_suggestion TO app_readonly;

CREATE TRIGGER replenishment_suggestion_touch
    BEFORE UPDATE ON ret.replenishment_suggestion
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER replenishment_suggestion_state_machine
    BEFORE INSERT OR UPDATE OF state ON ret.replenishment_suggestion
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["proposed"],
        "transitions": {
            "proposed": ["accepted", "changed", "rejected", "expired"],
            "accepted": [],
            "changed":  [],
            "rejected": [],
            "expired":  []
        }}');

CREATE FUNCTION ret.match_rule() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    rule ret.replenishment_rule;
BEGIN
    SELECT r.* INTO rule
    FROM ret.replenishment_rule AS r
    WHERE r.business_id = NEW.business_id
      AND r.replenishment_rule_id = NEW.replenishment_rule_id;
    IF FOUND AND (rule.location_id, rule.product_variant_id)
                 <> (NEW.location_id, NEW.product_variant_id) THEN
        RAISE EXCEPTION 'the rule is of another variant or location'
            USING ERRCODE = 'check_violation';
    ELSIF FOUND AND NEW.suggested_qty % rule.order_multiple <> 0 THEN
        RAISE EXCEPTION '% is not a multiple of %', NEW.suggested_qty, rule.order_multiple
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION ret.match_rule() IS
    'A suggestion is for what its rule is for, in the packs that the rule names.';

CREATE TRIGGER replenishment_suggestion_matches
    BEFORE INSERT OR UPDATE OF suggested_qty, replenishment_rule_id, location_id,
                               product_variant_id ON ret.replenishment_suggestion
    FOR EACH ROW EXECUTE FUNCTION ret.match_rule();


CREATE FUNCTION ret.daily_demand(place uuid, moment timestamptz, days integer)
    RETURNS TABLE (product_variant_id uuid, per_day numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT m.product_variant_id,
           greatest(sum(CASE m.movement_kind WHEN 'sale' THEN m.quantity ELSE -m.quantity END
                        * CASE WHEN m.is_reversal THEN -1 ELSE 1 END), 0) / days
    FROM ret.stock_movement AS m
    WHERE m.business_id = tenant_mgmt.current_business_id() AND m.location_id = place
      AND m.occurred_at > moment - make_interval(days => days) AND m.occurred_at <= moment
      AND m.movement_kind IN ('sale', 'return')
      AND ret.on_hand_change(m.from_state, m.to_state, m.quantity) <> 0
    GROUP BY m.product_variant_id;
END;
COMMENT ON FUNCTION ret.daily_demand(uuid, timestamptz, integer) IS
    'What customers took of each variant at a location per day, net of what they brought back.';


CREATE FUNCTION ret.normal_quantile(percent numeric) RETURNS numeric
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN round((4.91 * (power(percent / 100, 0.14) - power(1 - percent / 100, 0.14))), 4);
COMMENT ON FUNCTION ret.normal_quantile(numeric) IS
    'How many standard deviations above the mean cover so much of a normal distribution, to about
     two digits: 95 gives 1.65.';


CREATE FUNCTION ret.suggest_replenishment(place uuid, run_moment timestamptz) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid    := tenant_mgmt.current_business_id();
    window_days CONSTANT integer := 28;
    made   integer;
BEGIN
    -- Two runs for a location take turns; the second finds what the first has proposed.
    PERFORM FROM ret.location AS l
    WHERE l.business_id = tenant AND l.location_id = place
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no location %', place USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE ret.replenishment_suggestion AS s
    SET state = 'expired', decided_at = run_moment
    WHERE s.business_id = tenant AND s.location_id = place AND s.state = 'proposed'
      AND s.run_at < run_moment;

    INSERT INTO ret.replenishment_suggestion
        (business_id, replenishment_rule_id, location_id, product_variant_id, run_at,
         suggested_qty, on_hand_qty, on_order_qty, forecast_qty, days_cover_after,
         stockout_risk_pct, inputs_doc)
    SELECT tenant, q.replenishment_rule_id, place, q.product_variant_id, run_moment, q.quantity,
           q.on_hand, q.incoming, q.expected,
           CASE WHEN q.per_day > 0 THEN least((q.position + q.quantity) / q.per_day, 9999) END,
           q.risk,
           jsonb_build_object(
               'method', q.method, 'position', q.position, 'per_day', round(q.per_day, 4),
               'lead_days', q.lead_days, 'review_every_days', q.review_every_days,
               'safety_stock', q.safety, 'reorder_at', q.reorder_at, 'target', q.target,
               'need', q.target - q.position, 'order_multiple', q.order_multiple)
    FROM (
        SELECT p.*, ceil((p.target - p.position) / p.order_multiple) * p.order_multiple
                   AS quantity,
               p.per_day * (p.lead_days + p.review_every_days) AS expected,
               -- The chance that the lead time asks for more than is there.
               CASE WHEN p.per_day = 0 THEN CASE WHEN p.on_hand > 0 THEN 0 ELSE 100 END
                    ELSE round(100 / (1 + exp(least(greatest(
                             1.702 * (p.position - p.per_day * p.lead_days)
                             / sqrt(greatest(p.per_day * p.lead_days, 0.25)), -50), 50))), 2)
                    END AS risk
        FROM (
            SELECT d.*,
                   CASE d.method
                       WHEN 'min_max' THEN d.min_qty
                       WHEN 'presentation' THEN d.min_qty
                       WHEN 'reorder_point'
                           THEN greatest(d.reorder_point, d.per_day * d.lead_days + d.safety)
                       WHEN 'days_of_cover'
                           THEN d.per_day * (d.days_of_cover + d.lead_days) + d.safety
                       ELSE d.per_day * d.lead_days + d.safety END AS reorder_at,
                   CASE d.method
                       WHEN 'min_max' THEN d.max_qty
                       WHEN 'presentation' THEN d.max_qty
                       WHEN 'reorder_point'
                           THEN coalesce(d.max_qty,
                                         greatest(d.reorder_point,
                                                  d.per_day * d.lead_days + d.safety)
                                         + d.per_day * d.review_every_days)
                       WHEN 'days_of_cover'
                           THEN d.per_day * (d.days_of_cover + d.lead_days) + d.safety
                       ELSE d.per_day * (d.lead_days + d.review_every_days) + d.safety
                       END AS target
            FROM (
                SELECT r.*, coalesce(s.on_hand, 0) AS on_hand, coalesce(s.incoming, 0) AS incoming,
                       coalesce(s.position, 0) AS position, coalesce(m.per_day, 0) AS per_day,
                       n.lead_days,
                       greatest(coalesce(r.safety_stock_qty, 0),
                                coalesce(ceil(greatest(ret.normal_quantile(r.service_level_pct), 0)
                                         * sqrt(coalesce(m.per_day, 0) * n.lead_days
                                                + power(coalesce(m.per_day, 0) * n.lead_days_sd,
                                                        2))), 0)) AS safety
                FROM ret.replenishment_rule AS r
                JOIN ret.product_variant AS v
                    ON v.business_id = r.business_id
                   AND v.product_variant_id = r.product_variant_id AND v.status = 'active'
                LEFT JOIN LATERAL (
                    SELECT sum(x.on_hand_qty) AS on_hand, sum(x.incoming_qty) AS incoming,
                           sum(x.available_qty + x.safety_stock_qty + x.incoming_qty) AS position
                    FROM ret.stock_level AS x
                    WHERE x.business_id = tenant AND x.location_id = place
                      AND x.product_variant_id = r.product_variant_id
                ) AS s ON true
                LEFT JOIN ret.daily_demand(place, run_moment, window_days) AS m
                    ON m.product_variant_id = r.product_variant_id
                LEFT JOIN LATERAL (
                    SELECT coalesce(p.lead_days, u.default_lead_days) AS lead_days, p.lead_days_sd
                    FROM ret.supplier AS u
                    LEFT JOIN ret.supplier_product AS p
                        ON p.business_id = u.business_id AND p.supplier_id = u.supplier_id
                       AND p.product_variant_id = r.product_variant_id AND p.status = 'active'
                    WHERE u.business_id = tenant AND u.supplier_id = r.supplier_id
                    ORDER BY p.is_preferred DESC NULLS LAST, p.supplier_sku
                    LIMIT 1
                ) AS c ON true
                -- A transfer takes two days where nobody knows better, an order a week.
                CROSS JOIN LATERAL (
                    SELECT coalesce(c.lead_days, CASE WHEN r.supplier_id IS NULL THEN 2
                                                 ELSE 7 END) AS lead_days,
                           coalesce(c.lead_days_sd, 0) AS lead_days_sd
                ) AS n
                WHERE r.business_id = tenant AND r.location_id = place AND r.is_active
            ) AS d
        ) AS p
        WHERE p.position < p.reorder_at AND p.target > p.position
    ) AS q
    WHERE q.quantity > 0
    ON CONFLICT (business_id, replenishment_rule_id, run_at) DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION ret.suggest_replenishment(uuid, timestamptz) IS
    'Proposes what the rules of a location ask for at a moment: what may be used and is on its way,
     against minimum, reorder point or days of cover, with the demand of four weeks from the ledger
     and safety stock for the lead time; in whole packs. Proposals of earlier runs expire. Returns
     how many it made.';


CREATE VIEW ret.v_stock_position WITH (security_invoker = true) AS
SELECT l.business_id, l.location_id, p.location_code, p.display_name AS location_name,
       l.product_variant_id, v.sku, v.title, l.consignment_agreement_id, l.on_hand_qty,
       l.available_qty, l.committed_qty, l.reserved_qty, l.damaged_qty, l.quality_hold_qty,
       l.incoming_qty, t.next_incoming_at, l.average_cost,
       round(l.on_hand_qty * l.average_cost, 2) AS stock_value,
       CASE WHEN d.sold_qty > 0 THEN round(l.on_hand_qty * 28 / d.sold_qty, 1) END
           AS days_of_cover,
       r.replenishment_rule_id, r.method, r.min_qty, r.max_qty, r.reorder_point,
       s.replenishment_suggestion_id, s.suggested_qty, s.run_at AS suggested_at
FROM ret.stock_level AS l
JOIN ret.location AS p ON p.business_id = l.business_id AND p.location_id = l.location_id
JOIN ret.product_variant AS v
    ON v.business_id = l.business_id AND v.product_variant_id = l.product_variant_id
LEFT JOIN LATERAL (
    SELECT min(x.expected_at) AS next_incoming_at
    FROM ret.stock_transfer AS x
    JOIN ret.stock_transfer_line AS y
        ON y.business_id = x.business_id AND y.stock_transfer_id = x.stock_transfer_id
    WHERE x.business_id = l.business_id AND x.to_location_id = l.location_id
      AND x.state IN ('in_transit', 'partly_received')
      AND y.product_variant_id = l.product_variant_id
      AND y.shipped_qty > y.received_qty + y.damaged_qty
) AS t ON l.incoming_qty > 0
LEFT JOIN LATERAL (
    SELECT sum(-ret.on_hand_change(m.from_state, m.to_state, m.quantity)) AS sold_qty
    FROM ret.stock_movement AS m
    WHERE m.business_id = l.business_id AND m.location_id = l.location_id
      AND m.product_variant_id = l.product_variant_id
      AND m.occurred_at > now() - interval '28 days' AND m.movement_kind IN ('sale', 'return')
) AS d ON true
LEFT JOIN ret.replenishment_rule AS r
    ON r.business_id = l.business_id AND r.location_id = l.location_id
   AND r.product_variant_id = l.product_variant_id AND r.is_active
LEFT JOIN LATERAL (
    SELECT x.replenishment_suggestion_id, x.suggested_qty, x.run_at
    FROM ret.replenishment_suggestion AS x
    WHERE x.business_id = r.business_id AND x.replenishment_rule_id = r.replenishment_rule_id
      AND x.state = 'proposed'
    ORDER BY x.run_at DESC
    LIMIT 1
) AS s ON true;
COMMENT ON VIEW ret.v_stock_position IS
    'What lies where and how long it lasts: quantities by state, when the next transfer comes, days
     of cover at the demand of four weeks, the rule and what it proposes.';
GRANT SELECT ON ret.v_stock_position TO app_user, app_readonly;
