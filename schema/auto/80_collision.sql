/*
 * Collision: what a loss costs to repair, whether it is worth it, and what the insurer pays.
 *
 * A damage_estimate is a version of the estimate of an insurance_claim: the original (number 0)
 * and numbered supplements for damage that was found when the car came apart. A supplement copies
 * the last approved version, so the latest version is always the whole; its lines say whether
 * they are unchanged, changed, removed or added since. The insurer decides line by line.
 *
 * A total_loss_evaluation tests repair against value with comparable sales. claim_payment is a
 * remittance of an insurer or warranty payer with what it deducted; the money itself is a payment.
 *
 * lines_amount and the hours of an estimate are the sums of its lines, kept by trigger; denied
 * lines and damage from before the loss are not paid. The guards of insurance_claim stand here,
 * where the rows that they look at are.
 */

CREATE TABLE auto.damage_estimate (
    business_id             uuid                    NOT NULL,
    damage_estimate_id      uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    previous_estimate_id    uuid,
    estimator_technician_id uuid,
    document_file_id        uuid,
    insurance_claim_id      uuid                    NOT NULL,
    repair_order_id         uuid,
    estimate_kind           text                    NOT NULL DEFAULT 'original',
    supplement_no           integer                 NOT NULL DEFAULT 0,
    written_at              timestamptz             NOT NULL DEFAULT now(),
    submitted_at            timestamptz,
    decided_at              timestamptz,
    status                  text                    NOT NULL DEFAULT 'draft',
    body_hours              numeric(10, 2)          NOT NULL DEFAULT 0,
    refinish_hours          numeric(10, 2)          NOT NULL DEFAULT 0,
    frame_hours             numeric(10, 2)          NOT NULL DEFAULT 0,
    mechanical_hours        numeric(10, 2)          NOT NULL DEFAULT 0,
    paint_material_amount   system_core.money       NOT NULL DEFAULT 0,
    parts_amount            system_core.money       NOT NULL DEFAULT 0,
    lines_amount            system_core.money       NOT NULL DEFAULT 0,
    betterment_amount       system_core.money       NOT NULL DEFAULT 0,
    tax_amount              system_core.money       NOT NULL DEFAULT 0,
    total_amount            system_core.money       NOT NULL GENERATED ALWAYS AS (
        lines_amount + paint_material_amount + tax_amount - betterment_amount) STORED,
    bms_document            system_core.json_object,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, damage_estimate_id),
    FOREIGN KEY (business_id, previous_estimate_id)
        REFERENCES auto.damage_estimate (business_id, damage_estimate_id),
    FOREIGN KEY (business_id, estimator_technician_id)
        REFERENCES auto.technician (business_id, technician_id),
    FOREIGN KEY (business_id, document_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, insurance_claim_id)
        REFERENCES auto.insurance_claim (business_id, insurance_claim_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    CONSTRAINT damage_estimate_kind_known
        CHECK (estimate_kind IN ('original', 'supplement', 'reinspection', 'final_bill')),
    CONSTRAINT damage_estimate_status_known
        CHECK (status IN ('draft', 'submitted', 'approved', 'partly_approved', 'rejected',
                          'superseded')),
    CONSTRAINT damage_estimate_number_not_negative CHECK (supplement_no >= 0),
    CONSTRAINT damage_estimate_original_is_zero
        CHECK ((estimate_kind = 'original') = (supplement_no = 0)),
    CONSTRAINT damage_estimate_supplement_names_previous
        CHECK (estimate_kind <> 'supplement' OR previous_estimate_id IS NOT NULL),
    CONSTRAINT damage_estimate_follows_another CHECK (previous_estimate_id <> damage_estimate_id),
    CONSTRAINT damage_estimate_submitted_has_time
        CHECK (status IN ('draft', 'superseded') OR submitted_at IS NOT NULL),
    CONSTRAINT damage_estimate_decided_has_time
        CHECK (status NOT IN ('approved', 'partly_approved', 'rejected')
               OR decided_at IS NOT NULL),
    CONSTRAINT damage_estimate_submitted_after_writing CHECK (submitted_at >= written_at),
    CONSTRAINT damage_estimate_decided_after_submission CHECK (decided_at >= submitted_at),
    CONSTRAINT damage_estimate_amounts_not_negative
        CHECK (paint_material_amount >= 0 AND tax_amount >= 0 AND betterment_amount >= 0)
);

COMMENT ON TABLE auto.damage_estimate IS
    'Version of the collision estimate: original or numbered supplement, with totals by labor
     kind.';
COMMENT ON COLUMN auto.damage_estimate.previous_estimate_id IS 'The version that it was made from.';
COMMENT ON COLUMN auto.damage_estimate.body_hours IS
    'Body, aluminum and glass labor; frame_hours holds structural labor too.';
COMMENT ON COLUMN auto.damage_estimate.lines_amount IS
    'Sum of the lines that are not denied, kept by trigger.';
COMMENT ON COLUMN auto.damage_estimate.betterment_amount IS
    'What new parts improve on worn ones, as tires: the owner pays it.';
COMMENT ON COLUMN auto.damage_estimate.total_amount IS
    'Of the whole repair, not of the supplement alone.';
COMMENT ON COLUMN auto.damage_estimate.bms_document IS
    'The estimate message: {"lines": [{"line_no": 1, "operation": "replace", "total": 100}]}; see
     auto.estimate_changes().';

-- One version of a number that stands; also finds the last version of a claim.
CREATE UNIQUE INDEX damage_estimate_number_idx
    ON auto.damage_estimate (business_id, insurance_claim_id, supplement_no)
    WHERE status <> 'superseded';

-- FK: all versions of a claim, superseded ones too.
CREATE INDEX damage_estimate_claim_idx
    ON auto.damage_estimate (business_id, insurance_claim_id, supplement_no DESC);

-- FK: what was made from a version.
CREATE INDEX damage_estimate_previous_idx
    ON auto.damage_estimate (business_id, previous_estimate_id)
    WHERE previous_estimate_id IS NOT NULL;

-- FK: what an estimator wrote.
CREATE INDEX damage_estimate_estimator_idx
    ON auto.damage_estimate (business_id, estimator_technician_id)
    WHERE estimator_technician_id IS NOT NULL;

-- FK: the estimate that a file shows.
CREATE INDEX damage_estimate_document_idx
    ON auto.damage_estimate (business_id, document_file_id)
    WHERE document_file_id IS NOT NULL;

-- FK: the estimates of a repair order.
CREATE INDEX damage_estimate_repair_order_idx
    ON auto.damage_estimate (business_id, repair_order_id)
    WHERE repair_order_id IS NOT NULL;

ALTER TABLE auto.damage_estimate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.damage_estimate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.damage_estimate TO app_user;
GRANT SELECT ON auto.damage_estimate TO app_readonly;

CREATE TRIGGER damage_estimate_touch
    BEFORE UPDATE ON auto.damage_estimate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER damage_estimate_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.damage_estimate
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft"],
        "transitions": {
            "draft":           ["submitted", "superseded"],
            "submitted":       ["approved", "partly_approved", "rejected", "superseded"],
            "approved":        ["superseded"],
            "partly_approved": ["superseded"],
            "rejected":        ["superseded"],
            "superseded":      []
        }}');

CREATE FUNCTION auto.date_damage_estimate() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.status = 'submitted' THEN
        NEW.submitted_at := coalesce(NEW.submitted_at, greatest(now(), NEW.written_at));
    ELSIF NEW.status IN ('approved', 'partly_approved', 'rejected') THEN
        NEW.decided_at := coalesce(NEW.decided_at, greatest(now(), NEW.submitted_at));
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.date_damage_estimate() IS
    'Stamps when an estimate was submitted and decided.';

-- By its name it runs after damage_estimate_status_machine, which judges what was asked for.
CREATE TRIGGER damage_estimate_status_times
    BEFORE UPDATE OF status ON auto.damage_estimate
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION auto.date_damage_estimate();


CREATE TABLE auto.damage_estimate_line (
    business_id             uuid                   NOT NULL,
    damage_estimate_line_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    damage_estimate_id      uuid                   NOT NULL,
    part_id                 uuid,
    labor_operation_id      uuid,
    adas_sensor_id          uuid,
    line_no                 integer                NOT NULL,
    operation               text                   NOT NULL,
    panel_name              text,
    part_source             text                   NOT NULL DEFAULT 'none',
    qty                     system_core.quantity   NOT NULL DEFAULT 1,
    part_price              system_core.money      NOT NULL DEFAULT 0,
    labor_kind              text                   NOT NULL DEFAULT 'body',
    labor_hours             numeric(10, 2)         NOT NULL DEFAULT 0,
    refinish_hours          numeric(10, 2)         NOT NULL DEFAULT 0,
    is_judgment             boolean                NOT NULL DEFAULT false,
    change_kind             text                   NOT NULL DEFAULT 'original',
    change_reason           text,
    previous_line_total     system_core.money,
    betterment_pct          system_core.percentage NOT NULL DEFAULT 0,
    prior_damage            boolean                NOT NULL DEFAULT false,
    line_total              system_core.money      NOT NULL DEFAULT 0,
    decision                text                   NOT NULL DEFAULT 'pending',
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, damage_estimate_line_id),
    UNIQUE (business_id, damage_estimate_id, line_no),
    FOREIGN KEY (business_id, damage_estimate_id)
        REFERENCES auto.damage_estimate (business_id, damage_estimate_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, part_id) REFERENCES auto.part (business_id, part_id),
    FOREIGN KEY (business_id, labor_operation_id)
        REFERENCES auto.labor_operation (business_id, labor_operation_id),
    FOREIGN KEY (business_id, adas_sensor_id)
        REFERENCES auto.adas_sensor (business_id, adas_sensor_id),
    CONSTRAINT damage_estimate_line_number_positive CHECK (line_no >= 1),
    CONSTRAINT damage_estimate_line_operation_known
        CHECK (operation IN ('replace', 'repair', 'refinish', 'blend', 'remove_install', 'align',
                             'sublet', 'scan', 'calibrate', 'overlap_deduct')),
    CONSTRAINT damage_estimate_line_part_source_known
        CHECK (part_source IN ('oem', 'aftermarket', 'aftermarket_certified', 'recycled',
                               'remanufactured', 'none')),
    CONSTRAINT damage_estimate_line_labor_kind_known
        CHECK (labor_kind IN ('body', 'refinish', 'frame', 'mechanical', 'glass', 'aluminum',
                              'structural')),
    CONSTRAINT damage_estimate_line_change_kind_known
        CHECK (change_kind IN ('original', 'unchanged', 'added', 'changed', 'removed')),
    CONSTRAINT damage_estimate_line_decision_known
        CHECK (decision IN ('pending', 'approved', 'denied', 'negotiated')),
    CONSTRAINT damage_estimate_line_quantity_positive CHECK (qty > 0),
    CONSTRAINT damage_estimate_line_part_has_source
        CHECK (part_price >= 0 AND (part_price = 0 OR part_source <> 'none')),
    CONSTRAINT damage_estimate_line_sign_follows_operation
        CHECK (CASE operation WHEN 'overlap_deduct'
                    THEN labor_hours <= 0 AND refinish_hours <= 0 AND line_total <= 0
                    ELSE labor_hours >= 0 AND refinish_hours >= 0 AND line_total >= 0 END),
    CONSTRAINT damage_estimate_line_betterment_bounded CHECK (betterment_pct BETWEEN 0 AND 100),
    CONSTRAINT damage_estimate_line_prior_damage_unpaid
        CHECK (NOT prior_damage OR line_total = 0),
    CONSTRAINT damage_estimate_line_removed_costs_nothing
        CHECK (change_kind <> 'removed' OR line_total = 0),
    CONSTRAINT damage_estimate_line_unchanged_is_equal
        CHECK (change_kind <> 'unchanged' OR line_total = previous_line_total),
    CONSTRAINT damage_estimate_line_lowered_has_reason
        CHECK (previous_line_total IS NULL
               OR line_total >= previous_line_total
               OR coalesce(change_reason, '') ~ '\S')
);

COMMENT ON TABLE auto.damage_estimate_line IS
    'Panel or operation of a damage estimate, marked added, changed or removed by a supplement.';
COMMENT ON COLUMN auto.damage_estimate_line.operation IS
    'overlap_deduct takes off labor that two neighboring operations share.';
COMMENT ON COLUMN auto.damage_estimate_line.is_judgment IS
    'Hours that the estimator judged, not the database of the estimating system.';
COMMENT ON COLUMN auto.damage_estimate_line.previous_line_total IS
    'In the approved version that the supplement was made from; less than that needs a reason.';
COMMENT ON COLUMN auto.damage_estimate_line.prior_damage IS
    'From before the loss: shown, but not paid.';
COMMENT ON COLUMN auto.damage_estimate_line.line_total IS 'Parts and labor at the insurer''s rates.';

-- FK: where a part is estimated.
CREATE INDEX damage_estimate_line_part_idx
    ON auto.damage_estimate_line (business_id, part_id)
    WHERE part_id IS NOT NULL;

-- FK: where an operation is estimated.
CREATE INDEX damage_estimate_line_labor_operation_idx
    ON auto.damage_estimate_line (business_id, labor_operation_id)
    WHERE labor_operation_id IS NOT NULL;

-- FK: where a sensor is calibrated.
CREATE INDEX damage_estimate_line_sensor_idx
    ON auto.damage_estimate_line (business_id, adas_sensor_id)
    WHERE adas_sensor_id IS NOT NULL;

ALTER TABLE auto.damage_estimate_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.damage_estimate_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.damage_estimate_line TO app_user;
GRANT SELECT ON auto.damage_estimate_line TO app_readonly;

CREATE TRIGGER damage_estimate_line_touch
    BEFORE UPDATE ON auto.damage_estimate_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.mark_estimate_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    line    CONSTANT auto.damage_estimate_line := coalesce(NEW, OLD);
    version auto.damage_estimate;
BEGIN
    SELECT e.* INTO version FROM auto.damage_estimate AS e
    WHERE e.business_id = line.business_id AND e.damage_estimate_id = line.damage_estimate_id;
    IF NOT FOUND THEN
        RETURN line;
    END IF;
    IF version.status <> 'draft' AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'line % of supplement % was submitted: only its decision changes',
                        line.line_no, version.supplement_no
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Write a supplement with auto.build_supplement().';
    ELSIF TG_OP = 'DELETE' THEN
        IF line.change_kind IN ('unchanged', 'changed') AND row_security_active(TG_RELID) THEN
            RAISE EXCEPTION 'line % was approved before supplement %: it is marked, not deleted',
                            line.line_no, version.supplement_no
                USING ERRCODE = 'restrict_violation',
                      HINT = 'Set change_kind to removed, line_total to 0 and a change_reason.';
        END IF;
        RETURN line;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.change_kind = 'unchanged' AND NEW.change_kind = 'unchanged' THEN
        NEW.change_kind := 'changed';
        NEW.decision := 'pending';
    END IF;
    IF (NEW.change_kind = 'original') <> (version.supplement_no = 0) THEN
        RAISE EXCEPTION 'line % of supplement % is marked %', NEW.line_no, version.supplement_no,
                        NEW.change_kind
            USING ERRCODE = 'check_violation',
                  HINT = 'Lines of the original are original; those of a supplement are not.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.mark_estimate_change() IS
    'Marks what a draft of a supplement changes of the version before; what was submitted stays.';

CREATE TRIGGER damage_estimate_line_mark_insert
    BEFORE INSERT ON auto.damage_estimate_line
    FOR EACH ROW EXECUTE FUNCTION auto.mark_estimate_change();

CREATE TRIGGER damage_estimate_line_mark_update
    BEFORE UPDATE ON auto.damage_estimate_line
    FOR EACH ROW WHEN (
        (OLD.damage_estimate_id, OLD.part_id, OLD.labor_operation_id, OLD.adas_sensor_id,
         OLD.line_no, OLD.operation, OLD.panel_name, OLD.part_source, OLD.qty, OLD.part_price,
         OLD.labor_kind, OLD.labor_hours, OLD.refinish_hours, OLD.change_kind,
         OLD.previous_line_total, OLD.betterment_pct, OLD.prior_damage, OLD.line_total)
        IS DISTINCT FROM
        (NEW.damage_estimate_id, NEW.part_id, NEW.labor_operation_id, NEW.adas_sensor_id,
         NEW.line_no, NEW.operation, NEW.panel_name, NEW.part_source, NEW.qty, NEW.part_price,
         NEW.labor_kind, NEW.labor_hours, NEW.refinish_hours, NEW.change_kind,
         NEW.previous_line_total, NEW.betterment_pct, NEW.prior_damage, NEW.line_total))
    EXECUTE FUNCTION auto.mark_estimate_change();

CREATE TRIGGER damage_estimate_line_mark_delete
    BEFORE DELETE ON auto.damage_estimate_line
    FOR EACH ROW EXECUTE FUNCTION auto.mark_estimate_change();

CREATE FUNCTION auto.total_damage_estimates() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM auto.damage_estimate AS e
    WHERE (e.business_id, e.damage_estimate_id)
          IN (SELECT c.business_id, c.damage_estimate_id FROM changed AS c)
    ORDER BY e.business_id, e.damage_estimate_id
    FOR NO KEY UPDATE;

    UPDATE auto.damage_estimate AS e
    SET body_hours        = coalesce(s.body, 0),
        refinish_hours    = coalesce(s.refinish, 0),
        frame_hours       = coalesce(s.frame, 0),
        mechanical_hours  = coalesce(s.mechanical, 0),
        parts_amount      = coalesce(s.parts, 0),
        lines_amount      = coalesce(s.lines, 0),
        betterment_amount = coalesce(s.betterment, 0)
    FROM (SELECT DISTINCT c.business_id, c.damage_estimate_id FROM changed AS c) AS t
    LEFT JOIN LATERAL (
        SELECT sum(l.labor_hours) FILTER (WHERE l.labor_kind IN ('body', 'aluminum', 'glass'))
                   AS body,
               sum(l.refinish_hours
                   + CASE l.labor_kind WHEN 'refinish' THEN l.labor_hours ELSE 0 END) AS refinish,
               sum(l.labor_hours) FILTER (WHERE l.labor_kind IN ('frame', 'structural')) AS frame,
               sum(l.labor_hours) FILTER (WHERE l.labor_kind = 'mechanical') AS mechanical,
               sum(round(l.qty * l.part_price, 2)) AS parts,
               sum(l.line_total) AS lines,
               sum(round(l.line_total * l.betterment_pct / 100, 2)) AS betterment
        FROM auto.damage_estimate_line AS l
        WHERE l.business_id = t.business_id
          AND l.damage_estimate_id = t.damage_estimate_id
          AND l.decision <> 'denied'
          AND l.change_kind <> 'removed'
          AND NOT l.prior_damage
    ) AS s ON true
    WHERE e.business_id = t.business_id AND e.damage_estimate_id = t.damage_estimate_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.total_damage_estimates() IS
    'Keeps hours and amounts of the estimates whose lines a statement touched; what is denied,
     removed or from before the loss does not count.';

CREATE TRIGGER damage_estimate_line_total_insert
    AFTER INSERT ON auto.damage_estimate_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_damage_estimates();

CREATE TRIGGER damage_estimate_line_total_update
    AFTER UPDATE ON auto.damage_estimate_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_damage_estimates();

CREATE TRIGGER damage_estimate_line_total_left
    AFTER UPDATE ON auto.damage_estimate_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_damage_estimates();

CREATE TRIGGER damage_estimate_line_total_delete
    AFTER DELETE ON auto.damage_estimate_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_damage_estimates();

CREATE FUNCTION auto.build_supplement(of_damage_estimate uuid) RETURNS auto.damage_estimate
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    claim  auto.insurance_claim;
    last   auto.damage_estimate;
    open   integer;
    draft  auto.damage_estimate;
BEGIN
    SELECT c.* INTO claim
    FROM auto.insurance_claim AS c
    WHERE c.business_id = tenant
      AND c.insurance_claim_id = (
          SELECT e.insurance_claim_id FROM auto.damage_estimate AS e
          WHERE e.business_id = tenant AND e.damage_estimate_id = of_damage_estimate)
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no damage estimate %', of_damage_estimate
            USING ERRCODE = 'no_data_found';
    ELSIF claim.status <> 'approved' THEN
        RAISE EXCEPTION 'claim % is %: it is supplemented when it is approved',
                        claim.claim_number, claim.status
            USING ERRCODE = 'check_violation', HINT = 'Wait for the insurer, or change the draft.';
    END IF;
    SELECT e.supplement_no INTO open FROM auto.damage_estimate AS e
    WHERE e.business_id = tenant
      AND e.insurance_claim_id = claim.insurance_claim_id
      AND e.status IN ('draft', 'submitted')
    ORDER BY e.supplement_no
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'supplement % of claim % is not decided yet', open, claim.claim_number
            USING ERRCODE = 'check_violation', HINT = 'Add to it, or supersede it.';
    END IF;
    SELECT e.* INTO last FROM auto.damage_estimate AS e
    WHERE e.business_id = tenant
      AND e.insurance_claim_id = claim.insurance_claim_id
      AND e.status IN ('approved', 'partly_approved')
    ORDER BY e.supplement_no DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'claim % has no approved estimate to supplement', claim.claim_number
            USING ERRCODE = 'check_violation', HINT = 'Let the insurer approve the original.';
    END IF;

    INSERT INTO auto.damage_estimate AS e
        (business_id, previous_estimate_id, estimator_technician_id, insurance_claim_id,
         repair_order_id, estimate_kind, supplement_no, paint_material_amount, tax_amount)
    SELECT tenant, last.damage_estimate_id, last.estimator_technician_id,
           claim.insurance_claim_id, last.repair_order_id, 'supplement',
           1 + max(x.supplement_no), last.paint_material_amount, last.tax_amount
    FROM auto.damage_estimate AS x
    WHERE x.business_id = tenant AND x.insurance_claim_id = claim.insurance_claim_id
    RETURNING e.* INTO draft;
    INSERT INTO auto.damage_estimate_line
        (business_id, damage_estimate_id, part_id, labor_operation_id, adas_sensor_id, line_no,
         operation, panel_name, part_source, qty, part_price, labor_kind, labor_hours,
         refinish_hours, is_judgment, change_kind, previous_line_total, betterment_pct,
         prior_damage, line_total, decision)
    SELECT tenant, draft.damage_estimate_id, l.part_id, l.labor_operation_id, l.adas_sensor_id,
           l.line_no, l.operation, l.panel_name, l.part_source, l.qty, l.part_price, l.labor_kind,
           l.labor_hours, l.refinish_hours, l.is_judgment, 'unchanged', l.line_total,
           l.betterment_pct, l.prior_damage, l.line_total, l.decision
    FROM auto.damage_estimate_line AS l
    WHERE l.business_id = tenant
      AND l.damage_estimate_id = last.damage_estimate_id
      AND l.change_kind <> 'removed'
      AND l.decision <> 'denied';
    SELECT e.* INTO draft FROM auto.damage_estimate AS e
    WHERE e.business_id = tenant AND e.damage_estimate_id = draft.damage_estimate_id;
    RETURN draft;
END
$$;
COMMENT ON FUNCTION auto.build_supplement(uuid) IS
    'Copies the last approved version of the claim of an estimate of the current tenant under the
     next number; what is changed in the draft is marked as it is changed. One at a time.';

CREATE FUNCTION auto.estimate_changes(of_damage_estimate uuid)
    RETURNS TABLE (line_no integer, change_kind text, operation text, previous_total numeric,
                   line_total numeric)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH said AS (
        SELECT e.damage_estimate_id = of_damage_estimate AS is_new, d.line_no, d.operation, d.total
        FROM auto.damage_estimate AS e
        CROSS JOIN JSON_TABLE(
            e.bms_document, '$.lines[*]'
            COLUMNS (line_no integer PATH '$.line_no', operation text PATH '$.operation',
                     total numeric PATH '$.total')) AS d
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND (e.damage_estimate_id = of_damage_estimate OR e.damage_estimate_id = (
              SELECT x.previous_estimate_id FROM auto.damage_estimate AS x
              WHERE x.business_id = tenant_mgmt.current_business_id()
                AND x.damage_estimate_id = of_damage_estimate))
    )
    SELECT coalesce(n.line_no, o.line_no),
           CASE WHEN o.line_no IS NULL THEN 'added'
                WHEN n.line_no IS NULL THEN 'removed'
                ELSE 'changed' END,
           coalesce(n.operation, o.operation), o.total, n.total
    FROM (SELECT s.* FROM said AS s WHERE s.is_new) AS n
    FULL JOIN (SELECT s.* FROM said AS s WHERE NOT s.is_new) AS o ON o.line_no = n.line_no
    WHERE (n.line_no, n.operation, n.total) IS DISTINCT FROM (o.line_no, o.operation, o.total)
    ORDER BY 1;
END;
COMMENT ON FUNCTION auto.estimate_changes(uuid) IS
    'What the message of an estimate of the current tenant says that the message of the version
     before did not: lines added, removed, or with another operation or total.';


CREATE TABLE auto.total_loss_evaluation (
    business_id                 uuid                    NOT NULL,
    total_loss_evaluation_id    uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    evaluated_by_user_id        uuid,
    insurance_claim_id          uuid                    NOT NULL,
    damage_estimate_id          uuid                    NOT NULL,
    evaluated_at                timestamptz,
    actual_cash_value           system_core.money,
    repair_total                system_core.money       NOT NULL DEFAULT 0,
    salvage_value               system_core.money       NOT NULL DEFAULT 0,
    threshold_method            text                    NOT NULL DEFAULT 'state_pct',
    threshold_pct               system_core.percentage,
    loss_ratio_pct              system_core.percentage  GENERATED ALWAYS AS (
        round(100 * repair_total / nullif(actual_cash_value, 0), 4)) STORED,
    comparables                 system_core.json_object,
    condition_adjustment_amount system_core.money       NOT NULL DEFAULT 0,
    is_total                    boolean                 NOT NULL DEFAULT false,
    owner_retained              boolean                 NOT NULL DEFAULT false,
    settlement_amount           system_core.money       NOT NULL DEFAULT 0,
    title_brand                 text                    NOT NULL DEFAULT 'none',
    released_on                 date,
    storage_fee_amount          system_core.money       NOT NULL DEFAULT 0,
    created_at                  timestamptz             NOT NULL DEFAULT now(),
    updated_at                  timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, total_loss_evaluation_id),
    FOREIGN KEY (business_id, evaluated_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, insurance_claim_id)
        REFERENCES auto.insurance_claim (business_id, insurance_claim_id),
    FOREIGN KEY (business_id, damage_estimate_id)
        REFERENCES auto.damage_estimate (business_id, damage_estimate_id),
    CONSTRAINT total_loss_evaluation_method_known
        CHECK (threshold_method IN ('state_pct', 'formula', 'insurer_discretion')),
    CONSTRAINT total_loss_evaluation_title_brand_known
        CHECK (title_brand IN ('none', 'salvage', 'flood', 'non_repairable')),
    CONSTRAINT total_loss_evaluation_cash_value_positive CHECK (actual_cash_value > 0),
    CONSTRAINT total_loss_evaluation_amounts_not_negative
        CHECK (repair_total >= 0 AND salvage_value >= 0 AND settlement_amount >= 0
               AND storage_fee_amount >= 0),
    CONSTRAINT total_loss_evaluation_threshold_bounded CHECK (threshold_pct BETWEEN 50 AND 100),
    CONSTRAINT total_loss_evaluation_evaluated_has_value
        CHECK (evaluated_at IS NULL OR actual_cash_value IS NOT NULL),
    CONSTRAINT total_loss_evaluation_total_has_value
        CHECK (NOT is_total OR actual_cash_value IS NOT NULL),
    CONSTRAINT total_loss_evaluation_formula_decides
        CHECK (threshold_method <> 'formula' OR evaluated_at IS NULL
               OR is_total = (repair_total + salvage_value >= actual_cash_value)),
    CONSTRAINT total_loss_evaluation_share_decides
        CHECK (threshold_method <> 'state_pct' OR evaluated_at IS NULL
               OR is_total = (100 * repair_total >= threshold_pct * actual_cash_value)),
    CONSTRAINT total_loss_evaluation_repaired_has_clean_title
        CHECK (is_total OR (title_brand = 'none' AND NOT owner_retained
                            AND settlement_amount = 0)),
    CONSTRAINT total_loss_evaluation_owner_keeps_salvage
        CHECK (settlement_amount
               <= actual_cash_value - CASE WHEN owner_retained THEN salvage_value ELSE 0 END)
);

COMMENT ON TABLE auto.total_loss_evaluation IS
    'Repair against value test with comparables, salvage bids and settlement.';
COMMENT ON COLUMN auto.total_loss_evaluation.actual_cash_value IS
    'Of the vehicle before the loss: the median of the comparables, adjusted by its condition.';
COMMENT ON COLUMN auto.total_loss_evaluation.threshold_method IS
    'state_pct: repair reaches a share of the value; formula: repair and salvage reach the value;
     insurer_discretion: as the adjuster says.';
COMMENT ON COLUMN auto.total_loss_evaluation.comparables IS
    '{"comparables": [{"price": 9800, "distance": 12, "odometer": 88000, "adjustment": -150}]}.';
COMMENT ON COLUMN auto.total_loss_evaluation.settlement_amount IS
    'Value less deductible, and less salvage where the owner keeps the vehicle.';
COMMENT ON COLUMN auto.total_loss_evaluation.released_on IS 'When the vehicle left the lot.';

-- FK: what an account evaluated.
CREATE INDEX total_loss_evaluation_user_idx
    ON auto.total_loss_evaluation (business_id, evaluated_by_user_id)
    WHERE evaluated_by_user_id IS NOT NULL;

-- FK and guard of a claim: its evaluations, the last first.
CREATE INDEX total_loss_evaluation_claim_idx
    ON auto.total_loss_evaluation (business_id, insurance_claim_id, created_at DESC);

-- FK: what tested an estimate.
CREATE INDEX total_loss_evaluation_estimate_idx
    ON auto.total_loss_evaluation (business_id, damage_estimate_id);

ALTER TABLE auto.total_loss_evaluation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.total_loss_evaluation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.total_loss_evaluation TO app_user;
GRANT SELECT ON auto.total_loss_evaluation TO app_readonly;

CREATE TRIGGER total_loss_evaluation_touch
    BEFORE UPDATE ON auto.total_loss_evaluation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.evaluate_total_loss(of_insurance_claim uuid)
    RETURNS auto.total_loss_evaluation
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    claim  auto.insurance_claim;
    test   auto.total_loss_evaluation;
    repair auto.damage_estimate;
    worth  numeric;
    share  numeric;
    totals boolean;
BEGIN
    SELECT c.* INTO claim FROM auto.insurance_claim AS c
    WHERE c.business_id = tenant AND c.insurance_claim_id = of_insurance_claim
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no insurance claim %', of_insurance_claim
            USING ERRCODE = 'no_data_found';
    END IF;
    SELECT t.* INTO test FROM auto.total_loss_evaluation AS t
    WHERE t.business_id = tenant AND t.insurance_claim_id = of_insurance_claim
    ORDER BY t.created_at DESC, t.total_loss_evaluation_id DESC
    LIMIT 1
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'claim % has no evaluation with comparable sales', claim.claim_number
            USING ERRCODE = 'no_data_found',
                  HINT = 'Insert a total_loss_evaluation with its comparables first.';
    END IF;
    SELECT e.* INTO repair FROM auto.damage_estimate AS e
    WHERE e.business_id = tenant
      AND e.insurance_claim_id = of_insurance_claim
      AND e.status NOT IN ('superseded', 'rejected')
    ORDER BY e.supplement_no DESC
    LIMIT 1;
    SELECT round((percentile_cont(0.5) WITHIN GROUP (
               ORDER BY x.price + coalesce(x.adjustment, 0)))::numeric, 2)
           + test.condition_adjustment_amount
    INTO worth
    FROM JSON_TABLE(test.comparables, '$.comparables[*]'
                    COLUMNS (price numeric PATH '$.price',
                             adjustment numeric PATH '$.adjustment')) AS x
    WHERE x.price > 0;
    IF worth IS NULL OR worth <= 0 OR repair.damage_estimate_id IS NULL THEN
        RAISE EXCEPTION 'claim % cannot be evaluated: it lacks %', claim.claim_number,
                        CASE WHEN repair.damage_estimate_id IS NULL THEN 'an estimate that stands'
                             ELSE 'comparable sales with prices' END
            USING ERRCODE = 'check_violation',
                  HINT = 'Write the estimate and put three to five sales into comparables.';
    END IF;

    SELECT coalesce(test.threshold_pct, n.total_loss_threshold_pct, 75) INTO share
    FROM auto.insurer AS n
    WHERE n.business_id = tenant AND n.insurer_id = claim.insurer_id;
    totals := CASE test.threshold_method
                  WHEN 'state_pct' THEN 100 * repair.total_amount >= share * worth
                  WHEN 'formula' THEN repair.total_amount + test.salvage_value >= worth
                  ELSE test.is_total END;
    UPDATE auto.total_loss_evaluation AS t
    SET damage_estimate_id = repair.damage_estimate_id,
        evaluated_at = now(),
        actual_cash_value = worth,
        repair_total = repair.total_amount,
        threshold_pct = share,
        is_total = totals,
        owner_retained = totals AND t.owner_retained,
        settlement_amount = CASE WHEN totals
            THEN greatest(worth - claim.deductible_amount
                          - CASE WHEN t.owner_retained THEN t.salvage_value ELSE 0 END, 0)
            ELSE 0 END,
        title_brand = CASE WHEN NOT totals THEN 'none'
                           WHEN t.title_brand <> 'none' THEN t.title_brand
                           WHEN claim.loss_kind = 'flood' THEN 'flood'
                           ELSE 'salvage' END
    WHERE t.business_id = tenant AND t.total_loss_evaluation_id = test.total_loss_evaluation_id
    RETURNING t.* INTO test;
    RETURN test;
END
$$;
COMMENT ON FUNCTION auto.evaluate_total_loss(uuid) IS
    'Tests the last estimate of a claim of the current tenant against the median of the comparable
     sales of its last evaluation, by the threshold of the state, of the insurer, or of 75 %, or by
     the formula; sets settlement and title brand. The claim itself is moved by whoever decides.';


CREATE TABLE auto.claim_payment (
    business_id                uuid              NOT NULL,
    claim_payment_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    insurance_claim_id         uuid,
    warranty_claim_id          uuid,
    payment_id                 uuid,
    damage_estimate_id         uuid,
    remittance_ref             text              NOT NULL,
    payer_name                 text              NOT NULL,
    remitted_on                date              NOT NULL,
    gross_amount               system_core.money NOT NULL DEFAULT 0,
    deductible_deducted_amount system_core.money NOT NULL DEFAULT 0,
    betterment_deducted_amount system_core.money NOT NULL DEFAULT 0,
    rate_cut_amount            system_core.money NOT NULL DEFAULT 0,
    net_amount                 system_core.money NOT NULL GENERATED ALWAYS AS (
        gross_amount - deductible_deducted_amount - betterment_deducted_amount
        - rate_cut_amount) STORED,
    payee_kind                 text              NOT NULL DEFAULT 'shop',
    method                     text              NOT NULL DEFAULT 'eft',
    short_pay_reason           text,
    short_pay_status           text              NOT NULL DEFAULT 'none',
    matched_at                 timestamptz,
    created_at                 timestamptz       NOT NULL DEFAULT now(),
    updated_at                 timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, claim_payment_id),
    UNIQUE (business_id, payer_name, remittance_ref),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, insurance_claim_id)
        REFERENCES auto.insurance_claim (business_id, insurance_claim_id),
    FOREIGN KEY (business_id, warranty_claim_id)
        REFERENCES auto.warranty_claim (business_id, warranty_claim_id),
    FOREIGN KEY (business_id, payment_id) REFERENCES auto.payment (business_id, payment_id),
    FOREIGN KEY (business_id, damage_estimate_id)
        REFERENCES auto.damage_estimate (business_id, damage_estimate_id),
    CONSTRAINT claim_payment_referenced CHECK (remittance_ref ~ '\S' AND payer_name ~ '\S'),
    CONSTRAINT claim_payment_payee_known
        CHECK (payee_kind IN ('shop', 'customer', 'joint_lienholder')),
    CONSTRAINT claim_payment_method_known
        CHECK (method IN ('eft', 'check', 'virtual_card', 'credit_memo')),
    CONSTRAINT claim_payment_short_pay_status_known
        CHECK (short_pay_status IN ('none', 'open', 'recovered', 'written_off')),
    CONSTRAINT claim_payment_for_one_claim
        CHECK (num_nonnulls(insurance_claim_id, warranty_claim_id) = 1),
    CONSTRAINT claim_payment_estimate_of_insurance
        CHECK (damage_estimate_id IS NULL OR insurance_claim_id IS NOT NULL),
    CONSTRAINT claim_payment_deductions_not_negative
        CHECK (gross_amount >= 0 AND deductible_deducted_amount >= 0
               AND betterment_deducted_amount >= 0 AND rate_cut_amount >= 0),
    CONSTRAINT claim_payment_net_not_negative
        CHECK (gross_amount - deductible_deducted_amount - betterment_deducted_amount
               - rate_cut_amount >= 0),
    CONSTRAINT claim_payment_short_pay_has_reason
        CHECK (short_pay_status = 'none' OR coalesce(short_pay_reason, '') ~ '\S'),
    CONSTRAINT claim_payment_matched_has_payment
        CHECK ((payment_id IS NULL) = (matched_at IS NULL))
);

COMMENT ON TABLE auto.claim_payment IS
    'Insurer or warranty payer''s remittance against a claim, with deductions and co-payee.';
COMMENT ON COLUMN auto.claim_payment.rate_cut_amount IS
    'What the payer does not accept of rates or hours: a short pay, until it is recovered or
     written off.';
COMMENT ON COLUMN auto.claim_payment.payee_kind IS
    'joint_lienholder: a check that the bank of the owner signs too.';
COMMENT ON COLUMN auto.claim_payment.matched_at IS 'When the money was found as a payment.';

-- FK, guard and v_open_claims: what was paid on a loss.
CREATE INDEX claim_payment_insurance_claim_idx
    ON auto.claim_payment (business_id, insurance_claim_id)
    WHERE insurance_claim_id IS NOT NULL;

-- FK and v_open_claims: what was paid on a warranty claim.
CREATE INDEX claim_payment_warranty_claim_idx
    ON auto.claim_payment (business_id, warranty_claim_id)
    WHERE warranty_claim_id IS NOT NULL;

-- FK: the remittance that a payment is.
CREATE INDEX claim_payment_payment_idx
    ON auto.claim_payment (business_id, payment_id)
    WHERE payment_id IS NOT NULL;

-- FK: what was paid on a version.
CREATE INDEX claim_payment_estimate_idx
    ON auto.claim_payment (business_id, damage_estimate_id)
    WHERE damage_estimate_id IS NOT NULL;

-- The claims desk: short pays to chase, oldest first.
CREATE INDEX claim_payment_short_pay_idx
    ON auto.claim_payment (business_id, remitted_on)
    WHERE short_pay_status = 'open';

ALTER TABLE auto.claim_payment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.claim_payment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.claim_payment TO app_user;
GRANT SELECT ON auto.claim_payment TO app_readonly;

CREATE TRIGGER claim_payment_touch
    BEFORE UPDATE ON auto.claim_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER claim_payment_short_pay_machine
    BEFORE INSERT OR UPDATE OF short_pay_status ON auto.claim_payment
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('short_pay_status', '{
        "initial": ["none", "open"],
        "transitions": {
            "none":        ["open"],
            "open":        ["recovered", "written_off"],
            "recovered":   [],
            "written_off": ["recovered"]
        }}');


CREATE FUNCTION auto.insurance_claim_objection(claim auto.insurance_claim, to_status text)
    RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    bill auto.damage_estimate;
    paid record;
BEGIN
    IF to_status = 'supplement_submitted' AND NOT EXISTS (
        SELECT FROM auto.damage_estimate AS e
        WHERE e.business_id = claim.business_id
          AND e.insurance_claim_id = claim.insurance_claim_id
          AND e.status = 'submitted'
          AND e.supplement_no = 1 + (
              SELECT max(x.supplement_no) FROM auto.damage_estimate AS x
              WHERE x.business_id = e.business_id
                AND x.insurance_claim_id = e.insurance_claim_id
                AND x.damage_estimate_id <> e.damage_estimate_id)
    ) THEN
        RETURN 'no supplement with the next number is submitted';
    ELSIF to_status = 'total_loss' AND NOT EXISTS (
        SELECT FROM auto.total_loss_evaluation AS t
        WHERE t.business_id = claim.business_id
          AND t.insurance_claim_id = claim.insurance_claim_id
          AND t.is_total
    ) THEN
        RETURN 'no evaluation says that it is a total loss';
    ELSIF to_status <> 'settled' OR claim.status <> 'approved' THEN
        RETURN NULL;
    END IF;

    SELECT e.* INTO bill FROM auto.damage_estimate AS e
    WHERE e.business_id = claim.business_id
      AND e.insurance_claim_id = claim.insurance_claim_id
      AND e.status IN ('approved', 'partly_approved')
    ORDER BY e.supplement_no DESC
    LIMIT 1;
    SELECT coalesce(sum(p.net_amount + p.betterment_deducted_amount), 0) AS amount,
           coalesce(bool_or(p.short_pay_status = 'open'), false) AS is_short,
           coalesce(bool_or(p.short_pay_status = 'written_off'), false) AS is_given_up
    INTO paid
    FROM auto.claim_payment AS p
    WHERE p.business_id = claim.business_id
      AND p.insurance_claim_id = claim.insurance_claim_id;
    RETURN CASE
        WHEN bill.damage_estimate_id IS NULL THEN 'no estimate is approved'
        WHEN paid.is_short THEN 'a short pay is open'
        WHEN paid.amount + claim.deductible_amount < bill.total_amount AND NOT paid.is_given_up
            THEN format('%s of %s are paid', paid.amount + claim.deductible_amount,
                        bill.total_amount) END;
END
$$;
COMMENT ON FUNCTION auto.insurance_claim_objection(auto.insurance_claim, text) IS
    'Why a claim may not take a status that its state machine allows; NULL: it may.';

CREATE FUNCTION auto.guard_insurance_claim() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    objection text;
BEGIN
    IF row_security_active(TG_RELID) THEN
        objection := auto.insurance_claim_objection(
            ROW(OLD.*)::auto.insurance_claim, NEW.status);
        IF objection IS NOT NULL THEN
            RAISE EXCEPTION 'claim % cannot be %: %', NEW.claim_number, NEW.status, objection
                USING ERRCODE = 'check_violation',
                      HINT = 'Submit the supplement, evaluate the loss, or record what was paid '
                             'and write off the rest.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.guard_insurance_claim() IS
    'A supplement is submitted before the claim says so, a total loss is evaluated, and what was
     approved is paid or written off before the claim is settled.';

-- By its name it runs after insurance_claim_status_machine, which judges the edge.
CREATE TRIGGER insurance_claim_status_proof
    BEFORE UPDATE OF status ON auto.insurance_claim
    FOR EACH ROW WHEN (NEW.status <> OLD.status
                       AND NEW.status IN ('supplement_submitted', 'total_loss', 'settled'))
    EXECUTE FUNCTION auto.guard_insurance_claim();


CREATE VIEW auto.v_open_claims WITH (security_invoker = true) AS
SELECT x.business_id, x.claim_kind, x.claim_id, x.claim_number, x.payer_name, x.status,
       x.customer_id, x.vehicle_id, x.shop_id, x.opened_at,
       floor(extract(epoch FROM now() - x.opened_at) / 86400)::integer AS age_days,
       x.next_deadline_at, x.next_deadline_at < now() AS is_late, x.claimed_amount,
       x.approved_amount, x.paid_amount,
       greatest(x.approved_amount - x.borne_amount - x.paid_amount, 0)::system_core.money
           AS short_amount
FROM (
    SELECT c.business_id, 'insurance' AS claim_kind, c.insurance_claim_id AS claim_id,
           c.claim_number, n.name AS payer_name, c.status, c.customer_id, c.vehicle_id, c.shop_id,
           c.assigned_at AS opened_at,
           CASE WHEN c.status IN ('estimate_submitted', 'supplement_submitted')
                THEN e.submitted_at + n.supplement_approval_hours * interval '1 hour'
                WHEN c.status IN ('assigned', 'estimating') THEN c.assigned_at + interval '2 days'
                ELSE c.assigned_at + n.cycle_time_target_days * interval '1 day' END
               AS next_deadline_at,
           coalesce(e.claimed, 0) AS claimed_amount, coalesce(e.approved, 0) AS approved_amount,
           coalesce(p.amount, 0) AS paid_amount,
           c.deductible_amount + coalesce(p.given_up, 0) AS borne_amount
    FROM auto.insurance_claim AS c
    JOIN auto.insurer AS n ON n.business_id = c.business_id AND n.insurer_id = c.insurer_id
    LEFT JOIN LATERAL (
        SELECT (array_agg(v.total_amount ORDER BY v.supplement_no DESC))[1] AS claimed,
               (array_agg(v.total_amount ORDER BY v.supplement_no DESC)
                    FILTER (WHERE v.status IN ('approved', 'partly_approved')))[1] AS approved,
               max(v.submitted_at) FILTER (WHERE v.status = 'submitted') AS submitted_at
        FROM auto.damage_estimate AS v
        WHERE v.business_id = c.business_id
          AND v.insurance_claim_id = c.insurance_claim_id
          AND v.status IN ('submitted', 'approved', 'partly_approved')
    ) AS e ON true
    LEFT JOIN LATERAL (
        SELECT sum(y.net_amount) AS amount,
               sum(y.betterment_deducted_amount
                   + CASE y.short_pay_status WHEN 'written_off' THEN y.rate_cut_amount
                                             ELSE 0 END) AS given_up
        FROM auto.claim_payment AS y
        WHERE y.business_id = c.business_id AND y.insurance_claim_id = c.insurance_claim_id
    ) AS p ON true
    WHERE c.status NOT IN ('settled', 'denied', 'withdrawn')
    UNION ALL
    SELECT w.business_id, 'warranty', w.warranty_claim_id, w.claim_number, g.name, w.status,
           o.customer_id, o.vehicle_id, o.shop_id, w.created_at,
           CASE WHEN w.status IN ('draft', 'preauthorized', 'queried')
                THEN o.completed_at + make_interval(days => g.filing_window_days)
                WHEN w.status IN ('approved', 'partly_approved')
                THEN w.decided_on::timestamp AT TIME ZONE 'UTC' + interval '30 days'
                ELSE w.submitted_at + interval '30 days' END,
           w.claimed_amount, w.approved_amount, coalesce(p.amount, 0), coalesce(p.given_up, 0)
    FROM auto.warranty_claim AS w
    JOIN auto.warranty_program AS g
        ON g.business_id = w.business_id AND g.warranty_program_id = w.warranty_program_id
    JOIN auto.repair_job AS j
        ON j.business_id = w.business_id AND j.repair_job_id = w.repair_job_id
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    LEFT JOIN LATERAL (
        SELECT sum(y.net_amount) AS amount,
               sum(y.deductible_deducted_amount
                   + CASE y.short_pay_status WHEN 'written_off' THEN y.rate_cut_amount
                                             ELSE 0 END) AS given_up
        FROM auto.claim_payment AS y
        WHERE y.business_id = w.business_id AND y.warranty_claim_id = w.warranty_claim_id
    ) AS p ON true
    WHERE w.status NOT IN ('paid', 'denied')
) AS x;
COMMENT ON VIEW auto.v_open_claims IS
    'Warranty and insurance claims that are not ended, with their age, what is due next, and what
     is claimed, approved, paid and still short.';
COMMENT ON COLUMN auto.v_open_claims.next_deadline_at IS
    'Look at the vehicle in two days; the insurer''s promise on estimates and supplements; its
     cycle time; the filing window of the program; 30 days for a warranty payer to decide or pay.';
COMMENT ON COLUMN auto.v_open_claims.short_amount IS
    'Approved, less paid, less what others bear or was written off.';
GRANT SELECT ON auto.v_open_claims TO app_user, app_readonly;
