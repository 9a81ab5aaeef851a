/*
 * Job lines: what a job is sold as.
 *
 * A labor_line is an operation at book hours less what overlaps with another operation of the job;
 * a part_line is a part from quote to installed, with its cost, core and warranty; a sublet_line is
 * work that somebody else does. Each line's total follows from its figures, the job's from its
 * lines, the order's from its jobs: nobody types a total. auto.price_job() prices a job by the
 * guide, the fleet's agreement and the payer's matrix.
 */

CREATE TABLE auto.labor_line (
    business_id          uuid                   NOT NULL,
    labor_line_id        uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    repair_job_id        uuid                   NOT NULL,
    labor_operation_id   uuid,
    labor_time_id        uuid,
    technician_id        uuid,
    line_no              integer                NOT NULL,
    description          text                   NOT NULL,
    hours_source         text                   NOT NULL DEFAULT 'guide',
    book_hours           numeric(10, 2)         NOT NULL DEFAULT 0,
    sold_hours           numeric(10, 2)         NOT NULL,
    overlap_deduct_hours numeric(10, 2)         NOT NULL DEFAULT 0,
    actual_hours         numeric(10, 2)         NOT NULL DEFAULT 0,
    rate_amount          system_core.money      NOT NULL,
    discount_pct         system_core.percentage NOT NULL DEFAULT 0,
    line_total           system_core.money      GENERATED ALWAYS AS (
                                            round(sold_hours * rate_amount * (1 - discount_pct /
                                            100), 2)) STORED,
    is_taxable           boolean                NOT NULL DEFAULT false,
    status               text                   NOT NULL DEFAULT 'open',
    flagged_on           date,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, labor_line_id),
    UNIQUE (business_id, repair_job_id, line_no),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    FOREIGN KEY (business_id, labor_time_id)
        REFERENCES auto.labor_time (business_id, labor_time_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    CONSTRAINT labor_line_hours_source_known
        CHECK (hours_source IN ('guide', 'override', 'history', 'flat', 'actual')),
    CONSTRAINT labor_line_status_known CHECK (status IN ('open', 'done', 'void')),
    CONSTRAINT labor_line_overlap_within_book
        CHECK (overlap_deduct_hours BETWEEN 0 AND book_hours),
    CONSTRAINT labor_line_hours_not_negative
        CHECK (book_hours >= 0 AND sold_hours >= 0 AND actual_hours >= 0 AND rate_amount >= 0),
    CONSTRAINT labor_line_discount_bounded CHECK (discount_pct BETWEEN 0 AND 100),
    CONSTRAINT labor_line_flagged_when_done CHECK (flagged_on IS NULL OR status = 'done'),
    CONSTRAINT labor_line_flagged_for_somebody
        CHECK (flagged_on IS NULL OR technician_id IS NOT NULL)
);

COMMENT ON TABLE auto.labor_line IS 'Operation sold on a job: book, sold and actual hours.';
COMMENT ON COLUMN auto.labor_line.flagged_on IS 'The day that a flat-rate technician is paid for.';

-- FK: the sales of an operation.
CREATE INDEX labor_line_labor_operation_idx
    ON auto.labor_line (business_id, labor_operation_id)
    WHERE labor_operation_id IS NOT NULL;

-- FK: the lines that a book time priced.
CREATE INDEX labor_line_labor_time_idx
    ON auto.labor_line (business_id, labor_time_id)
    WHERE labor_time_id IS NOT NULL;

-- FK: what a technician flagged.
CREATE INDEX labor_line_technician_idx
    ON auto.labor_line (business_id, technician_id, flagged_on)
    WHERE technician_id IS NOT NULL;

ALTER TABLE auto.labor_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.labor_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.labor_line TO app_user;
GRANT SELECT ON auto.labor_line TO app_readonly;

CREATE TRIGGER labor_line_touch
    BEFORE UPDATE ON auto.labor_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE auto.part_line (
    business_id          uuid                   NOT NULL,
    part_line_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    repair_job_id        uuid                   NOT NULL,
    part_id              uuid,
    stock_location_id    uuid,
    labor_line_id        uuid,
    supplier_id          uuid,
    price_matrix_id      uuid,
    line_no              integer                NOT NULL,
    description          text                   NOT NULL,
    part_condition       text                   NOT NULL DEFAULT 'new',
    qty                  system_core.quantity   NOT NULL,
    unit_cost            system_core.unit_price NOT NULL DEFAULT 0,
    unit_price           system_core.unit_price NOT NULL,
    core_price           system_core.money,
    discount_pct         system_core.percentage NOT NULL DEFAULT 0,
    line_total           system_core.money      GENERATED ALWAYS AS (
                                            round(qty * unit_price * (1 - discount_pct / 100), 2))
                                            STORED,
    status               text                   NOT NULL DEFAULT 'quoted',
    installed_position   text,
    warranty_months      integer,
    is_taxable           boolean                NOT NULL DEFAULT true,
    old_part_disposition text,
    eta_at               timestamptz,
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, part_line_id),
    UNIQUE (business_id, repair_job_id, line_no),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, stock_location_id)
        REFERENCES auto.stock_location (business_id, stock_location_id),
    FOREIGN KEY (business_id, labor_line_id)
        REFERENCES auto.labor_line (business_id, labor_line_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    FOREIGN KEY (business_id, price_matrix_id)
        REFERENCES auto.price_matrix (business_id, price_matrix_id),
    CONSTRAINT part_line_condition_known
        CHECK (part_condition IN ('new', 'oem', 'remanufactured', 'rebuilt', 'used', 'recycled',
                                  'aftermarket_certified', 'customer_supplied')),
    CONSTRAINT part_line_status_known
        CHECK (status IN ('quoted', 'needed', 'reserved', 'ordered', 'received', 'issued',
                          'installed', 'returned', 'cancelled')),
    CONSTRAINT part_line_old_part_known
        CHECK (old_part_disposition IN ('returned_to_customer', 'core', 'scrapped',
                                        'warranty_hold')),
    CONSTRAINT part_line_qty_positive CHECK (qty > 0),
    CONSTRAINT part_line_prices_not_negative
        CHECK (unit_cost >= 0 AND unit_price >= 0 AND core_price >= 0),
    CONSTRAINT part_line_discount_bounded CHECK (discount_pct BETWEEN 0 AND 100),
    CONSTRAINT part_line_brought_by_customer
        CHECK (part_condition <> 'customer_supplied'
               OR (unit_price = 0 AND unit_cost = 0 AND warranty_months IS NULL)),
    CONSTRAINT part_line_warranty_bounded CHECK (warranty_months BETWEEN 1 AND 240)
);

COMMENT ON TABLE auto.part_line IS
    'Part sold on a job from quote to installed, with cost, price, core and warranty.';
COMMENT ON COLUMN auto.part_line.core_price IS
    'Deposit on the old part, which comes back with it; NULL is the part''s own charge.';

-- What blocks orders: parts that are needed or on their way.
CREATE INDEX part_line_open_idx
    ON auto.part_line (business_id, repair_job_id)
    WHERE status IN ('needed', 'ordered');

-- FK: the sales of a part.
CREATE INDEX part_line_part_idx
    ON auto.part_line (business_id, part_id)
    WHERE part_id IS NOT NULL;

-- FK: what comes from a bin.
CREATE INDEX part_line_stock_location_idx
    ON auto.part_line (business_id, stock_location_id)
    WHERE stock_location_id IS NOT NULL;

-- FK: the parts of an operation.
CREATE INDEX part_line_labor_line_idx
    ON auto.part_line (business_id, labor_line_id)
    WHERE labor_line_id IS NOT NULL;

-- FK: what a supplier is asked for.
CREATE INDEX part_line_supplier_idx
    ON auto.part_line (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

-- FK: what a matrix priced.
CREATE INDEX part_line_price_matrix_idx
    ON auto.part_line (business_id, price_matrix_id)
    WHERE price_matrix_id IS NOT NULL;

ALTER TABLE auto.part_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.part_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.part_line TO app_user;
GRANT SELECT ON auto.part_line TO app_readonly;

CREATE TRIGGER part_line_touch
    BEFORE UPDATE ON auto.part_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER part_line_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.part_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["quoted", "needed"],
        "transitions": {
            "quoted":    ["needed", "cancelled"],
            "needed":    ["reserved", "ordered", "received", "cancelled"],
            "reserved":  ["issued", "needed", "cancelled"],
            "ordered":   ["received", "needed", "cancelled"],
            "received":  ["issued", "returned"],
            "issued":    ["installed", "returned"],
            "installed": ["returned"],
            "returned":  [],
            "cancelled": []
        }}');


CREATE TABLE auto.sublet_line (
    business_id          uuid                   NOT NULL,
    sublet_line_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    invoice_file_id      uuid,
    repair_job_id        uuid                   NOT NULL,
    supplier_id          uuid                   NOT NULL,
    purchase_order_id    uuid,
    line_no              integer                NOT NULL,
    sublet_kind          text                   NOT NULL,
    description          text                   NOT NULL,
    sent_at              timestamptz,
    due_at               timestamptz,
    returned_at          timestamptz,
    cost_amount          system_core.money      NOT NULL DEFAULT 0,
    price_amount         system_core.money      NOT NULL DEFAULT 0,
    markup_pct           system_core.percentage GENERATED ALWAYS AS (
                                            round(100 * (price_amount - cost_amount) /
                                            nullif(cost_amount, 0), 4)) STORED,
    supplier_invoice_ref text,
    status               text                   NOT NULL DEFAULT 'quoted',
    warranty_by          text                   NOT NULL DEFAULT 'sublet',
    created_at           timestamptz            NOT NULL DEFAULT now(),
    updated_at           timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, sublet_line_id),
    UNIQUE (business_id, repair_job_id, line_no),
    FOREIGN KEY (business_id, invoice_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    CONSTRAINT sublet_line_kind_known
        CHECK (sublet_kind IN ('towing', 'machine_shop', 'glass', 'programming', 'calibration',
                               'upholstery', 'paintless_dent', 'rental', 'alignment')),
    CONSTRAINT sublet_line_status_known
        CHECK (status IN ('quoted', 'sent', 'returned', 'billed', 'cancelled')),
    CONSTRAINT sublet_line_warranty_by_known CHECK (warranty_by IN ('sublet', 'shop', 'none')),
    CONSTRAINT sublet_line_returned_after_sending CHECK (returned_at >= sent_at),
    CONSTRAINT sublet_line_sent_has_time
        CHECK (status NOT IN ('sent', 'returned', 'billed') OR sent_at IS NOT NULL),
    CONSTRAINT sublet_line_amounts_not_negative CHECK (cost_amount >= 0 AND price_amount >= 0)
);

COMMENT ON TABLE auto.sublet_line IS
    'Work sent out: machine shop, towing, glass, dealer programming, calibration.';

-- An invoice of a supplier is entered once.
CREATE UNIQUE INDEX sublet_line_supplier_invoice_idx
    ON auto.sublet_line (business_id, supplier_id, supplier_invoice_ref)
    WHERE supplier_invoice_ref IS NOT NULL;

-- FK: the invoice of the supplier.
CREATE INDEX sublet_line_invoice_file_idx
    ON auto.sublet_line (business_id, invoice_file_id)
    WHERE invoice_file_id IS NOT NULL;

-- FK: what a supplier did.
CREATE INDEX sublet_line_supplier_idx ON auto.sublet_line (business_id, supplier_id);

-- FK: the work of a purchase order.
CREATE INDEX sublet_line_purchase_order_idx
    ON auto.sublet_line (business_id, purchase_order_id)
    WHERE purchase_order_id IS NOT NULL;

ALTER TABLE auto.sublet_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.sublet_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.sublet_line TO app_user;
GRANT SELECT ON auto.sublet_line TO app_readonly;

CREATE TRIGGER sublet_line_touch
    BEFORE UPDATE ON auto.sublet_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER sublet_line_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.sublet_line
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["quoted", "sent"],
        "transitions": {
            "quoted":    ["sent", "cancelled"],
            "sent":      ["returned", "cancelled"],
            "returned":  ["billed"],
            "billed":    [],
            "cancelled": []
        }}');

CREATE FUNCTION auto.require_sublet_margin() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    payer text;
BEGIN
    SELECT j.payer_kind INTO payer
    FROM auto.repair_job AS j
    WHERE j.business_id = NEW.business_id AND j.repair_job_id = NEW.repair_job_id;
    IF payer NOT IN ('internal', 'goodwill') THEN
        RAISE EXCEPTION 'sublet work costs % and would be sold for %', NEW.cost_amount,
                        NEW.price_amount
            USING ERRCODE = 'check_violation',
                  HINT = 'Only what the shop pays itself is sold below cost.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_sublet_margin() IS
    'Work that is sent out is sold for at least what it costs, unless the shop pays for it.';

CREATE TRIGGER sublet_line_margin
    BEFORE INSERT OR UPDATE OF cost_amount, price_amount, repair_job_id ON auto.sublet_line
    FOR EACH ROW WHEN (NEW.price_amount < NEW.cost_amount)
    EXECUTE FUNCTION auto.require_sublet_margin();


CREATE FUNCTION auto.total_jobs() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.repair_job AS j
    SET labor_total = n.labor, parts_total = n.parts, sublet_total = n.sublet,
        book_hours = n.hours
    FROM (
        SELECT c.business_id, c.repair_job_id, coalesce(l.amount, 0) AS labor,
               coalesce(l.hours, 0) AS hours, coalesce(p.amount, 0) AS parts,
               coalesce(s.amount, 0) AS sublet
        FROM (SELECT DISTINCT x.business_id, x.repair_job_id FROM changed AS x) AS c
        LEFT JOIN LATERAL (
            SELECT sum(x.line_total) AS amount, sum(x.book_hours) AS hours
            FROM auto.labor_line AS x
            WHERE x.business_id = c.business_id AND x.repair_job_id = c.repair_job_id
              AND x.status <> 'void'
        ) AS l ON true
        LEFT JOIN LATERAL (
            SELECT sum(x.line_total) AS amount
            FROM auto.part_line AS x
            WHERE x.business_id = c.business_id AND x.repair_job_id = c.repair_job_id
              AND x.status NOT IN ('returned', 'cancelled')
        ) AS p ON true
        LEFT JOIN LATERAL (
            SELECT sum(x.price_amount) AS amount
            FROM auto.sublet_line AS x
            WHERE x.business_id = c.business_id AND x.repair_job_id = c.repair_job_id
              AND x.status <> 'cancelled'
        ) AS s ON true
    ) AS n
    WHERE j.business_id = n.business_id AND j.repair_job_id = n.repair_job_id
      AND (j.labor_total, j.parts_total, j.sublet_total, j.book_hours)
          <> (n.labor, n.parts, n.sublet, n.hours);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.total_jobs() IS
    'A job comes to what its lines come to, without those that are void, returned or cancelled.';

CREATE TRIGGER labor_line_total_on_insert
    AFTER INSERT ON auto.labor_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();

CREATE TRIGGER labor_line_total_on_update
    AFTER UPDATE ON auto.labor_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();

CREATE TRIGGER labor_line_total_on_delete
    AFTER DELETE ON auto.labor_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();

CREATE TRIGGER part_line_total_on_insert
    AFTER INSERT ON auto.part_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();

CREATE TRIGGER part_line_total_on_update
    AFTER UPDATE ON auto.part_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();

CREATE TRIGGER part_line_total_on_delete
    AFTER DELETE ON auto.part_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();

CREATE TRIGGER sublet_line_total_on_insert
    AFTER INSERT ON auto.sublet_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();

CREATE TRIGGER sublet_line_total_on_update
    AFTER UPDATE ON auto.sublet_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();

CREATE TRIGGER sublet_line_total_on_delete
    AFTER DELETE ON auto.sublet_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_jobs();


CREATE FUNCTION auto.order_differences()
    RETURNS TABLE (repair_order_id uuid, figure text, said numeric, found numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT o.repair_order_id, v.figure, v.said, v.found
    FROM auto.repair_order AS o
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(l.amount), 0) AS labor, coalesce(sum(p.amount), 0) AS parts,
               coalesce(sum(s.amount), 0) AS sublet, coalesce(sum(j.discount_amount), 0) AS off
        FROM auto.repair_job AS j
        LEFT JOIN LATERAL (
            SELECT sum(x.line_total) AS amount FROM auto.labor_line AS x
            WHERE x.business_id = j.business_id AND x.repair_job_id = j.repair_job_id
              AND x.status <> 'void') AS l ON true
        LEFT JOIN LATERAL (
            SELECT sum(x.line_total) AS amount FROM auto.part_line AS x
            WHERE x.business_id = j.business_id AND x.repair_job_id = j.repair_job_id
              AND x.status NOT IN ('returned', 'cancelled')) AS p ON true
        LEFT JOIN LATERAL (
            SELECT sum(x.price_amount) AS amount FROM auto.sublet_line AS x
            WHERE x.business_id = j.business_id AND x.repair_job_id = j.repair_job_id
              AND x.status <> 'cancelled') AS s ON true
        WHERE j.business_id = o.business_id AND j.repair_order_id = o.repair_order_id
          AND j.status NOT IN ('declined', 'cancelled')
    ) AS n
    CROSS JOIN LATERAL (VALUES
        ('labor_total', o.labor_total::numeric, n.labor), ('parts_total', o.parts_total, n.parts),
        ('grand_total', o.grand_total, greatest(n.labor + n.parts + n.sublet - n.off, 0)))
        AS v (figure, said, found)
    WHERE o.business_id = tenant_mgmt.current_business_id() AND v.said <> v.found;
END;
COMMENT ON FUNCTION auto.order_differences() IS
    'Proves the orders: totals that are not the sum of their lines; nothing when all agree.';


CREATE FUNCTION auto.fleet_terms(job uuid) RETURNS SETOF auto.fleet_price_agreement
    LANGUAGE sql STABLE AS $$
    SELECT a.*
    FROM auto.repair_job AS j
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    JOIN auto.vehicle AS v ON v.business_id = o.business_id AND v.vehicle_id = o.vehicle_id
    LEFT JOIN auto.vehicle_configuration AS c
        ON c.business_id = v.business_id
       AND c.vehicle_configuration_id = v.vehicle_configuration_id
    JOIN auto.fleet_price_agreement AS a
        ON a.business_id = j.business_id AND a.fleet_account_id = o.fleet_account_id
    CROSS JOIN (SELECT tenant_mgmt.today() AS today) AS d
    WHERE j.business_id = tenant_mgmt.current_business_id() AND j.repair_job_id = job
      AND j.payer_kind = 'fleet' AND a.effective_on <= d.today
      AND (a.ends_on IS NULL OR a.ends_on >= d.today)
      AND a.duty_class = CASE v.vehicle_kind WHEN 'medium_truck' THEN 'medium'
                                             WHEN 'heavy_truck' THEN 'heavy' ELSE 'light' END
      AND (a.max_vehicle_age_years IS NULL
           OR extract(year FROM d.today) - c.model_year <= a.max_vehicle_age_years)
$$;
COMMENT ON FUNCTION auto.fleet_terms(uuid) IS
    'What was agreed with the fleet that pays for a job, for a vehicle of its class and age today.';

CREATE FUNCTION auto.price_labor(job uuid) RETURNS void
    LANGUAGE sql AS $$
    -- Book time of the build, less what another operation of the job has done already.
    UPDATE auto.labor_line AS l
    SET labor_time_id = n.labor_time_id, book_hours = n.book_hours,
        overlap_deduct_hours = n.overlap, sold_hours = n.book_hours - n.overlap,
        rate_amount = coalesce(n.hourly_rate_amount, l.rate_amount),
        discount_pct = coalesce(n.fleet_pct, l.discount_pct)
    FROM (
        SELECT x.business_id, x.labor_line_id, t.labor_time_id, t.book_hours,
               r.hourly_rate_amount, least(coalesce(v.overlap, 0), t.book_hours) AS overlap,
               (SELECT max(-a.adjust_pct)
                FROM auto.fleet_terms(job) AS a
                WHERE a.agreement_kind = 'labor_discount'
                  AND (a.labor_operation_id IS NULL
                       OR a.labor_operation_id = x.labor_operation_id)) AS fleet_pct
        FROM auto.repair_job AS j
        JOIN auto.repair_order AS o
            ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
        JOIN auto.vehicle AS c ON c.business_id = o.business_id AND c.vehicle_id = o.vehicle_id
        LEFT JOIN auto.labor_rate AS r
            ON r.business_id = j.business_id AND r.labor_rate_id = j.labor_rate_id
        JOIN auto.labor_line AS x
            ON x.business_id = j.business_id AND x.repair_job_id = j.repair_job_id
           AND x.hours_source = 'guide' AND x.status = 'open'
        JOIN LATERAL (
            SELECT y.labor_time_id,
                   CASE WHEN j.payer_kind = 'warranty'
                        THEN coalesce(y.warranty_hours, y.book_hours)
                        ELSE y.book_hours END AS book_hours
            FROM auto.labor_time AS y
            WHERE y.business_id = x.business_id AND y.labor_operation_id = x.labor_operation_id
              AND y.vehicle_configuration_id = c.vehicle_configuration_id
            ORDER BY (y.time_source = 'oem_warranty') = (j.payer_kind = 'warranty') DESC,
                     y.time_source, y.labor_time_id
            LIMIT 1
        ) AS t ON true
        LEFT JOIN LATERAL (
            SELECT sum(CASE WHEN w.overlap_kind = 'included' THEN t.book_hours
                            ELSE least(w.deduct_hours, round(
                                t.book_hours * coalesce(w.max_deduct_pct, 100) / 100, 2)) END)
                       AS overlap
            FROM auto.labor_line AS p
            JOIN auto.labor_overlap AS w
                ON w.business_id = p.business_id
               AND w.primary_labor_operation_id = p.labor_operation_id
               AND w.overlapping_labor_operation_id = x.labor_operation_id
               AND w.overlap_kind IN ('included', 'deduct')
               AND (w.vehicle_configuration_id IS NULL
                    OR w.vehicle_configuration_id = c.vehicle_configuration_id)
            WHERE p.business_id = x.business_id AND p.repair_job_id = job AND p.status <> 'void'
              AND p.labor_line_id <> x.labor_line_id
        ) AS v ON true
        WHERE j.business_id = tenant_mgmt.current_business_id() AND j.repair_job_id = job
    ) AS n
    WHERE l.business_id = n.business_id AND l.labor_line_id = n.labor_line_id
$$;
COMMENT ON FUNCTION auto.price_labor(uuid) IS
    'Gives the open guide lines of a job the hours of the vehicle''s build (warranty hours where
     the maker pays) less overlaps, the job''s rate and the fleet''s discount.';

CREATE FUNCTION auto.price_parts(job uuid) RETURNS void
    LANGUAGE sql AS $$
    -- At cost times the payer's band of the matrix.
    UPDATE auto.part_line AS l
    SET price_matrix_id = m.price_matrix_id,
        unit_price = CASE m.rounding
            WHEN 'to_dollar' THEN ceil(l.unit_cost * m.multiplier)
            WHEN 'to_49_99' THEN ceil(l.unit_cost * m.multiplier * 2) / 2 - 0.01
            ELSE round(l.unit_cost * m.multiplier, 2) END
    FROM auto.repair_job AS j
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    JOIN auto.price_matrix AS m
        ON m.business_id = o.business_id AND m.shop_id = o.shop_id AND m.matrix_kind = 'parts'
       AND m.payer_kind = CASE j.payer_kind WHEN 'goodwill' THEN 'internal'
                                            ELSE j.payer_kind END
       AND m.effective_on <= tenant_mgmt.today()
       AND (m.ends_on IS NULL OR m.ends_on > tenant_mgmt.today())
    WHERE j.business_id = tenant_mgmt.current_business_id() AND j.repair_job_id = job
      AND l.business_id = j.business_id AND l.repair_job_id = j.repair_job_id
      AND l.status IN ('quoted', 'needed') AND l.part_condition <> 'customer_supplied'
      AND l.unit_cost > 0 AND l.unit_cost >= m.min_cost
      AND (m.max_cost IS NULL OR l.unit_cost < m.max_cost);
    -- What a fleet agreed on goes before the matrix, for a type of part before for all.
    UPDATE auto.part_line AS l
    SET unit_price = coalesce(round(l.unit_cost * (1 + n.plus_pct / 100), 2), l.unit_price),
        price_matrix_id = CASE WHEN n.plus_pct IS NULL THEN l.price_matrix_id END,
        discount_pct = coalesce(n.off_pct, l.discount_pct)
    FROM (
        SELECT x.business_id, x.part_line_id,
               (array_agg(a.adjust_pct ORDER BY a.part_type_id)
                    FILTER (WHERE a.agreement_kind = 'parts_cost_plus' AND x.unit_cost > 0))[1]
                   AS plus_pct,
               (array_agg(-a.adjust_pct ORDER BY a.part_type_id)
                    FILTER (WHERE a.agreement_kind = 'parts_discount'))[1] AS off_pct
        FROM auto.part_line AS x
        LEFT JOIN auto.part AS p ON p.business_id = x.business_id AND p.part_id = x.part_id
        JOIN auto.fleet_terms(job) AS a
            ON a.agreement_kind IN ('parts_cost_plus', 'parts_discount')
           AND (a.part_type_id IS NULL OR a.part_type_id = p.part_type_id)
        WHERE x.business_id = tenant_mgmt.current_business_id() AND x.repair_job_id = job
          AND x.status IN ('quoted', 'needed') AND x.part_condition <> 'customer_supplied'
        GROUP BY x.business_id, x.part_line_id
    ) AS n
    WHERE l.business_id = n.business_id AND l.part_line_id = n.part_line_id
$$;
COMMENT ON FUNCTION auto.price_parts(uuid) IS
    'Prices the parts of a job that are not on their way by the matrix of the payer, or at what its
     fleet agreed on.';

CREATE FUNCTION auto.price_job(
    job               uuid,
    OUT labor_total   numeric,
    OUT parts_total   numeric,
    OUT sublet_total  numeric,
    OUT overlap_hours numeric
)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    agreed numeric;
BEGIN
    PERFORM FROM auto.repair_job AS j
    WHERE j.business_id = tenant AND j.repair_job_id = job
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no job %', job USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM auto.price_labor(job), auto.price_parts(job);
    SELECT min(coalesce(a.fixed_price, a.cap_amount)) INTO agreed
    FROM auto.fleet_terms(job) AS a
    JOIN auto.repair_job AS j ON j.business_id = tenant AND j.repair_job_id = job
    WHERE a.agreement_kind IN ('fixed_job', 'price_cap')
      AND num_nonnulls(a.part_type_id, a.labor_operation_id) = 0
      AND (a.canned_job_id IS NULL OR a.canned_job_id = j.canned_job_id);
    UPDATE auto.repair_job AS j
    SET discount_amount = n.over
    FROM (SELECT greatest(x.labor_total + x.parts_total + x.sublet_total - agreed, 0) AS over
          FROM auto.repair_job AS x
          WHERE x.business_id = tenant AND x.repair_job_id = job) AS n
    WHERE j.business_id = tenant AND j.repair_job_id = job AND agreed IS NOT NULL
      AND j.discount_amount <> n.over;
    SELECT j.labor_total, j.parts_total, j.sublet_total,
           (SELECT coalesce(sum(l.overlap_deduct_hours), 0)
            FROM auto.labor_line AS l
            WHERE l.business_id = tenant AND l.repair_job_id = job AND l.status <> 'void')
    INTO price_job.labor_total, price_job.parts_total, price_job.sublet_total,
         price_job.overlap_hours
    FROM auto.repair_job AS j
    WHERE j.business_id = tenant AND j.repair_job_id = job;
END
$$;
COMMENT ON FUNCTION auto.price_job(uuid) IS
    'Prices the open lines of a job: book time of the vehicle''s build less overlaps at the job''s
     rate and the fleet''s discount, parts by the matrix of the payer or as agreed; what lies over
     a price that the fleet agreed on for the job is taken off. Returns the totals.';
