/*
 * Agreements: maintenance sold for a term, the visits it owes, and when its money is earned.
 *
 * An agreement_plan is a tier with its price; agreement_plan_visit are the visits it promises a
 * year, each with a checklist. An agreement sells a plan to a location for a term and covers the
 * equipment there (agreement_equipment). When it becomes active it owes agreement_visits, which
 * become work orders, and agreement_billing installments, which become invoices.
 * deferred_revenue_entry is the ledger of money that was billed and is not earned yet (ASC 606):
 * append-only, carried forward from month to month.
 */

CREATE TABLE hs.agreement_plan (
    business_id             uuid                   NOT NULL,
    agreement_plan_id       uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    business_unit_id        uuid                   NOT NULL,
    sale_task_id            uuid,
    plan_code               system_core.code       NOT NULL,
    name                    text                   NOT NULL,
    plan_kind               text                   NOT NULL DEFAULT 'maintenance',
    status                  text                   NOT NULL DEFAULT 'draft',
    term_months             integer                NOT NULL DEFAULT 12,
    billing_frequency       text                   NOT NULL DEFAULT 'annual',
    recognition_basis       text                   NOT NULL DEFAULT 'per_visit',
    monthly_price           system_core.money,
    annual_price            system_core.money,
    additional_system_price system_core.money      NOT NULL DEFAULT 0,
    repair_discount_pct     system_core.percentage NOT NULL DEFAULT 0,
    is_trip_fee_waived      boolean                NOT NULL DEFAULT false,
    priority_boost          integer                NOT NULL DEFAULT 0,
    response_hours          numeric(10, 2),
    cancellation_fee        system_core.money      NOT NULL DEFAULT 0,
    is_auto_renewing        boolean                NOT NULL DEFAULT true,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, agreement_plan_id),
    UNIQUE (business_id, plan_code),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, sale_task_id)
        REFERENCES hs.service_task (business_id, service_task_id),
    CONSTRAINT agreement_plan_kind_known
        CHECK (plan_kind IN ('maintenance', 'full_coverage', 'inspection_only',
                             'commercial_pm')),
    CONSTRAINT agreement_plan_status_known CHECK (status IN ('draft', 'active', 'retired')),
    CONSTRAINT agreement_plan_term_bounded CHECK (term_months BETWEEN 1 AND 60),
    CONSTRAINT agreement_plan_frequency_known
        CHECK (billing_frequency IN ('monthly', 'quarterly', 'annual', 'upfront')),
    CONSTRAINT agreement_plan_basis_known
        CHECK (recognition_basis IN ('straight_line', 'per_visit')),
    CONSTRAINT agreement_plan_has_the_price_it_bills
        CHECK (CASE WHEN billing_frequency IN ('monthly', 'quarterly')
                    THEN monthly_price IS NOT NULL ELSE annual_price IS NOT NULL END),
    CONSTRAINT agreement_plan_prices_not_negative
        CHECK (monthly_price >= 0 AND annual_price >= 0 AND additional_system_price >= 0
               AND cancellation_fee >= 0),
    CONSTRAINT agreement_plan_discount_bounded CHECK (repair_discount_pct BETWEEN 0 AND 100),
    CONSTRAINT agreement_plan_response_positive CHECK (response_hours > 0)
);

COMMENT ON TABLE hs.agreement_plan IS
    'A tier of membership: the visits, the discount, the priority and the price.';
COMMENT ON COLUMN hs.agreement_plan.recognition_basis IS
    'When its money is earned: day by day where it stands ready, else with each visit.';
COMMENT ON COLUMN hs.agreement_plan.additional_system_price IS
    'A year, for each system after the first.';
COMMENT ON COLUMN hs.agreement_plan.priority_boost IS
    'By how many places its calls move up in the queue.';
COMMENT ON COLUMN hs.agreement_plan.response_hours IS 'The promised time until somebody is there.';

-- FK: the plans of a unit.
CREATE INDEX agreement_plan_unit_idx ON hs.agreement_plan (business_id, business_unit_id);

-- FK: the plan that a task of the pricebook sells.
CREATE INDEX agreement_plan_sale_task_idx
    ON hs.agreement_plan (business_id, sale_task_id)
    WHERE sale_task_id IS NOT NULL;

ALTER TABLE hs.agreement_plan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.agreement_plan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.agreement_plan TO app_user;
GRANT SELECT ON hs.agreement_plan TO app_readonly;

CREATE TRIGGER agreement_plan_touch
    BEFORE UPDATE ON hs.agreement_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER agreement_plan_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.agreement_plan
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "active"],
        "transitions": {
            "draft":   ["active", "retired"],
            "active":  ["retired"],
            "retired": ["active"]
        }}');


CREATE TABLE hs.agreement_plan_visit (
    business_id             uuid                   NOT NULL,
    agreement_plan_visit_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    agreement_plan_id       uuid                   NOT NULL,
    job_type_id             uuid                   NOT NULL,
    visit_seq               integer                NOT NULL,
    name                    text                   NOT NULL,
    season                  text                   NOT NULL DEFAULT 'any',
    preferred_month         integer                NOT NULL,
    duration_minutes        integer                NOT NULL DEFAULT 60,
    days_before_window      integer                NOT NULL DEFAULT 30,
    days_after_window       integer                NOT NULL DEFAULT 30,
    checklist               system_core.json_array NOT NULL DEFAULT '[]',
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, agreement_plan_visit_id),
    UNIQUE (business_id, agreement_plan_id, visit_seq),
    FOREIGN KEY (business_id, agreement_plan_id)
        REFERENCES hs.agreement_plan (business_id, agreement_plan_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, job_type_id) REFERENCES hs.job_type (business_id, job_type_id),
    CONSTRAINT agreement_plan_visit_sequence_positive CHECK (visit_seq >= 1),
    CONSTRAINT agreement_plan_visit_season_known
        CHECK (season IN ('spring', 'summer', 'fall', 'winter', 'any')),
    CONSTRAINT agreement_plan_visit_month_of_year CHECK (preferred_month BETWEEN 1 AND 12),
    CONSTRAINT agreement_plan_visit_duration_positive CHECK (duration_minutes > 0),
    CONSTRAINT agreement_plan_visit_window_bounded
        CHECK (days_before_window BETWEEN 0 AND 180 AND days_after_window BETWEEN 0 AND 180),
    CONSTRAINT agreement_plan_visit_steps_say_what
        CHECK (NOT jsonb_path_exists(checklist, '$[*] ? (!(exists(@.instruction)))')),
    CONSTRAINT agreement_plan_visit_step_kinds_known
        CHECK (NOT jsonb_path_exists(checklist,
            '$[*].kind ? (!(@ == "safety" || @ == "diagnostic" || @ == "repair" || @ == "test"
                            || @ == "cleanup" || @ == "documentation"))'))
);

COMMENT ON TABLE hs.agreement_plan_visit IS
    'A visit that a plan promises every year: what for, in which season, how long.';
COMMENT ON COLUMN hs.agreement_plan_visit.checklist IS
    'Steps that are copied to the work order: [{"instruction", "kind", "mandatory", "minutes"}].';
COMMENT ON COLUMN hs.agreement_plan_visit.days_before_window IS
    'How early before the middle of the preferred month it may be done.';

-- FK: the visits that are jobs of a type.
CREATE INDEX agreement_plan_visit_job_type_idx
    ON hs.agreement_plan_visit (business_id, job_type_id);

ALTER TABLE hs.agreement_plan_visit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.agreement_plan_visit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.agreement_plan_visit TO app_user;
GRANT SELECT ON hs.agreement_plan_visit TO app_readonly;

CREATE TRIGGER agreement_plan_visit_touch
    BEFORE UPDATE ON hs.agreement_plan_visit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE VIEW hs.v_agreement_plan_step WITH (security_invoker = true) AS
SELECT v.business_id, v.agreement_plan_visit_id, v.agreement_plan_id, v.visit_seq, s.step_no,
       s.instruction, s.task_kind, s.is_mandatory, s.expected_minutes
FROM hs.agreement_plan_visit AS v
CROSS JOIN JSON_TABLE(v.checklist, '$[*]' COLUMNS (
    step_no          FOR ORDINALITY,
    instruction      text    PATH '$.instruction',
    task_kind        text    PATH '$.kind' DEFAULT 'repair' ON EMPTY,
    is_mandatory     boolean PATH '$.mandatory' DEFAULT true ON EMPTY,
    expected_minutes integer PATH '$.minutes' DEFAULT 10 ON EMPTY
)) AS s
WHERE v.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_agreement_plan_step IS
    'The checklists of the visits of plans, one row per step.';
GRANT SELECT ON hs.v_agreement_plan_step TO app_user, app_readonly;


CREATE TABLE hs.agreement (
    business_id               uuid              NOT NULL,
    agreement_id              uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    agreement_plan_id         uuid              NOT NULL,
    customer_id               uuid              NOT NULL,
    service_location_id       uuid              NOT NULL,
    sold_by_technician_id     uuid,
    renewed_from_agreement_id uuid,
    stored_payment_method_id  uuid,
    agreement_number          system_core.code  NOT NULL,
    status                    text              NOT NULL DEFAULT 'pending',
    contract_amount           system_core.money NOT NULL,
    billing_amount            system_core.money NOT NULL,
    is_auto_renewing          boolean           NOT NULL DEFAULT true,
    cancel_reason             text,
    starts_on                 date              NOT NULL,
    ends_on                   date              NOT NULL,
    next_billing_on           date,
    renewal_notice_on         date,
    cancelled_on              date,
    signed_at                 timestamptz,
    created_at                timestamptz       NOT NULL DEFAULT now(),
    updated_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, agreement_id),
    UNIQUE (business_id, agreement_number),
    FOREIGN KEY (business_id, agreement_plan_id)
        REFERENCES hs.agreement_plan (business_id, agreement_plan_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, sold_by_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, renewed_from_agreement_id)
        REFERENCES hs.agreement (business_id, agreement_id),
    FOREIGN KEY (business_id, stored_payment_method_id)
        REFERENCES hs.stored_payment_method (business_id, stored_payment_method_id),
    CONSTRAINT agreement_status_known
        CHECK (status IN ('pending', 'active', 'suspended', 'expired', 'renewed', 'cancelled')),
    CONSTRAINT agreement_ends_after_start CHECK (ends_on > starts_on),
    CONSTRAINT agreement_amounts_not_negative
        CHECK (contract_amount >= 0 AND billing_amount BETWEEN 0 AND contract_amount),
    CONSTRAINT agreement_cancelled_has_day_and_reason
        CHECK ((status = 'cancelled') = (cancel_reason IS NOT NULL)
               AND (status = 'cancelled') = (cancelled_on IS NOT NULL)),
    CONSTRAINT agreement_in_force_was_signed
        CHECK (status IN ('pending', 'cancelled') OR signed_at IS NOT NULL),
    CONSTRAINT agreement_renews_another CHECK (renewed_from_agreement_id <> agreement_id),
    CONSTRAINT agreement_notice_before_end CHECK (renewal_notice_on <= ends_on),
    CONSTRAINT agreement_one_in_force_per_location_and_plan EXCLUDE USING gist (
        business_id WITH =, service_location_id WITH =, agreement_plan_id WITH =,
        daterange(starts_on, ends_on, '[]') WITH &&) WHERE (status IN ('active', 'suspended'))
);

COMMENT ON TABLE hs.agreement IS 'A plan sold to a location for a term.';
COMMENT ON COLUMN hs.agreement.contract_amount IS 'Price of the whole term, without tax.';
COMMENT ON COLUMN hs.agreement.billing_amount IS 'Price of one installment, without tax.';
COMMENT ON COLUMN hs.agreement.ends_on IS 'Last day of the term.';
COMMENT ON COLUMN hs.agreement.next_billing_on IS
    'When the next installment that is not billed yet is due; kept from agreement_billing.';

-- One agreement follows another.
CREATE UNIQUE INDEX agreement_renewal_idx
    ON hs.agreement (business_id, renewed_from_agreement_id)
    WHERE renewed_from_agreement_id IS NOT NULL AND status <> 'cancelled';

-- FK: all renewals of an agreement, cancelled ones too.
CREATE INDEX agreement_renewed_from_idx
    ON hs.agreement (business_id, renewed_from_agreement_id)
    WHERE renewed_from_agreement_id IS NOT NULL;

-- FK and call card: does this customer have one in force? Member prices ask the same.
CREATE INDEX agreement_customer_idx ON hs.agreement (business_id, customer_id, status);

-- FK: the agreements of a location.
CREATE INDEX agreement_location_idx ON hs.agreement (business_id, service_location_id);

-- FK: what was sold of a plan.
CREATE INDEX agreement_plan_idx ON hs.agreement (business_id, agreement_plan_id);

-- What ends next, for renewal and expire_agreements().
CREATE INDEX agreement_ending_idx
    ON hs.agreement (business_id, ends_on)
    WHERE status IN ('active', 'suspended');

-- FK and commission: what a technician sold.
CREATE INDEX agreement_seller_idx
    ON hs.agreement (business_id, sold_by_technician_id)
    WHERE sold_by_technician_id IS NOT NULL;

-- FK: what is charged to a stored method.
CREATE INDEX agreement_stored_method_idx
    ON hs.agreement (business_id, stored_payment_method_id)
    WHERE stored_payment_method_id IS NOT NULL;

ALTER TABLE hs.agreement ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.agreement
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.agreement TO app_user;
GRANT SELECT ON hs.agreement TO app_readonly;

-- Bills and jobs come before agreements in load order.
ALTER TABLE hs.invoice ADD FOREIGN KEY (business_id, agreement_id)
    REFERENCES hs.agreement (business_id, agreement_id);
ALTER TABLE hs.work_order ADD FOREIGN KEY (business_id, agreement_id)
    REFERENCES hs.agreement (business_id, agreement_id);

CREATE TRIGGER agreement_touch
    BEFORE UPDATE ON hs.agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER agreement_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.agreement
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending"],
        "transitions": {
            "pending":   ["active", "cancelled"],
            "active":    ["suspended", "renewed", "expired", "cancelled"],
            "suspended": ["active", "cancelled", "expired"],
            "expired":   [],
            "renewed":   [],
            "cancelled": []
        }}');

CREATE FUNCTION hs.refuse_agreement_in_force() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'agreement % was signed: its plan, place, term and price stay',
                        OLD.agreement_number
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Cancel it and sell another, or change the renewal.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION hs.refuse_agreement_in_force() IS
    'Visits, installments and revenue were derived from what was signed.';

CREATE TRIGGER agreement_signed_stays
    BEFORE UPDATE ON hs.agreement
    FOR EACH ROW WHEN (OLD.status <> 'pending' AND
        (OLD.agreement_plan_id, OLD.customer_id, OLD.service_location_id, OLD.agreement_number,
         OLD.contract_amount, OLD.billing_amount, OLD.starts_on, OLD.ends_on)
        IS DISTINCT FROM
        (NEW.agreement_plan_id, NEW.customer_id, NEW.service_location_id, NEW.agreement_number,
         NEW.contract_amount, NEW.billing_amount, NEW.starts_on, NEW.ends_on))
    EXECUTE FUNCTION hs.refuse_agreement_in_force();


CREATE TABLE hs.agreement_equipment (
    business_id            uuid              NOT NULL,
    agreement_equipment_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    agreement_id           uuid              NOT NULL,
    installed_equipment_id uuid              NOT NULL,
    coverage_level         text              NOT NULL DEFAULT 'maintenance',
    visit_quota_count      integer           NOT NULL DEFAULT 2,
    annual_coverage_limit  system_core.money,
    used_coverage_amount   system_core.money NOT NULL DEFAULT 0,
    exclusion_note         text,
    added_on               date              NOT NULL,
    removed_on             date,
    created_at             timestamptz       NOT NULL DEFAULT now(),
    updated_at             timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, agreement_equipment_id),
    UNIQUE (business_id, agreement_id, installed_equipment_id, added_on),
    FOREIGN KEY (business_id, agreement_id)
        REFERENCES hs.agreement (business_id, agreement_id),
    FOREIGN KEY (business_id, installed_equipment_id)
        REFERENCES hs.installed_equipment (business_id, installed_equipment_id),
    CONSTRAINT agreement_equipment_level_known
        CHECK (coverage_level IN ('maintenance', 'parts', 'parts_and_labor')),
    CONSTRAINT agreement_equipment_removed_after_adding CHECK (removed_on >= added_on),
    CONSTRAINT agreement_equipment_quota_not_negative CHECK (visit_quota_count >= 0),
    CONSTRAINT agreement_equipment_used_within_limit
        CHECK (used_coverage_amount >= 0 AND used_coverage_amount <= annual_coverage_limit),
    CONSTRAINT agreement_equipment_covered_once EXCLUDE USING gist (
        business_id WITH =, agreement_id WITH =, installed_equipment_id WITH =,
        daterange(added_on, removed_on) WITH &&)
);

COMMENT ON TABLE hs.agreement_equipment IS
    'Equipment that an agreement covers, how far, and up to how much a year.';
COMMENT ON COLUMN hs.agreement_equipment.annual_coverage_limit IS 'NULL: no limit.';
COMMENT ON COLUMN hs.agreement_equipment.removed_on IS 'First day on which it is not covered.';

-- FK: what covers a piece of equipment.
CREATE INDEX agreement_equipment_equipment_idx
    ON hs.agreement_equipment (business_id, installed_equipment_id);

ALTER TABLE hs.agreement_equipment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.agreement_equipment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.agreement_equipment TO app_user;
GRANT SELECT ON hs.agreement_equipment TO app_readonly;

CREATE TRIGGER agreement_equipment_touch
    BEFORE UPDATE ON hs.agreement_equipment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.require_equipment_of_location() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT a.agreement_number, e.asset_tag INTO wrong
    FROM changed AS c
    JOIN hs.agreement AS a
        ON a.business_id = c.business_id AND a.agreement_id = c.agreement_id
    JOIN hs.installed_equipment AS e
        ON e.business_id = c.business_id
        AND e.installed_equipment_id = c.installed_equipment_id
    WHERE e.service_location_id <> a.service_location_id AND c.removed_on IS NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'equipment % does not stand where agreement % holds', wrong.asset_tag,
                        wrong.agreement_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Sell an agreement for the location of the equipment.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_equipment_of_location() IS
    'An agreement covers equipment of its own location.';

CREATE TRIGGER agreement_equipment_location_insert
    AFTER INSERT ON hs.agreement_equipment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_equipment_of_location();

CREATE TRIGGER agreement_equipment_location_update
    AFTER UPDATE ON hs.agreement_equipment
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_equipment_of_location();


CREATE TABLE hs.agreement_visit (
    business_id             uuid              NOT NULL,
    agreement_visit_id      uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    agreement_id            uuid              NOT NULL,
    agreement_plan_visit_id uuid              NOT NULL,
    work_order_id           uuid,
    visit_seq               integer           NOT NULL,
    status                  text              NOT NULL DEFAULT 'owed',
    value_amount            system_core.money NOT NULL DEFAULT 0,
    contact_attempt_count   integer           NOT NULL DEFAULT 0,
    skip_reason             text,
    due_on                  date              NOT NULL,
    window_start_on         date              NOT NULL,
    window_end_on           date              NOT NULL,
    scheduled_on            date,
    completed_on            date,
    reminder_sent_at        timestamptz,
    created_at              timestamptz       NOT NULL DEFAULT now(),
    updated_at              timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, agreement_visit_id),
    UNIQUE (business_id, agreement_id, visit_seq),
    FOREIGN KEY (business_id, agreement_id)
        REFERENCES hs.agreement (business_id, agreement_id),
    FOREIGN KEY (business_id, agreement_plan_visit_id)
        REFERENCES hs.agreement_plan_visit (business_id, agreement_plan_visit_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    CONSTRAINT agreement_visit_sequence_positive CHECK (visit_seq >= 1),
    CONSTRAINT agreement_visit_status_known
        CHECK (status IN ('owed', 'scheduled', 'done', 'skipped', 'forfeited')),
    CONSTRAINT agreement_visit_due_in_its_window
        CHECK (window_start_on <= due_on AND due_on <= window_end_on),
    CONSTRAINT agreement_visit_scheduled_has_work_order
        CHECK (status NOT IN ('scheduled', 'done')
               OR (work_order_id IS NOT NULL AND scheduled_on IS NOT NULL)),
    CONSTRAINT agreement_visit_done_has_day CHECK ((status = 'done') = (completed_on IS NOT NULL)),
    CONSTRAINT agreement_visit_skipped_has_reason
        CHECK ((status = 'skipped') = (skip_reason IS NOT NULL)),
    CONSTRAINT agreement_visit_value_not_negative CHECK (value_amount >= 0),
    CONSTRAINT agreement_visit_attempts_not_negative CHECK (contact_attempt_count >= 0)
);

COMMENT ON TABLE hs.agreement_visit IS
    'A visit that an agreement owes, with the window in which it is due; becomes a work order.';
COMMENT ON COLUMN hs.agreement_visit.value_amount IS
    'Its share of the price of the agreement; earned by it where revenue goes by visits.';
COMMENT ON COLUMN hs.agreement_visit.reminder_sent_at IS 'The last attempt to reach the customer.';

-- Serves v_agreement_visits_due: what is owed, by due window.
CREATE INDEX agreement_visit_owed_idx
    ON hs.agreement_visit (business_id, window_start_on, window_end_on)
    WHERE status = 'owed';

-- FK: a work order does one visit.
CREATE UNIQUE INDEX agreement_visit_work_order_idx
    ON hs.agreement_visit (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: the visits that a promise of a plan led to.
CREATE INDEX agreement_visit_plan_visit_idx
    ON hs.agreement_visit (business_id, agreement_plan_visit_id);

ALTER TABLE hs.agreement_visit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.agreement_visit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.agreement_visit TO app_user;
GRANT SELECT ON hs.agreement_visit TO app_readonly;

CREATE TRIGGER agreement_visit_touch
    BEFORE UPDATE ON hs.agreement_visit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER agreement_visit_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.agreement_visit
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["owed"],
        "transitions": {
            "owed":      ["scheduled", "skipped", "forfeited"],
            "scheduled": ["done", "owed", "skipped", "forfeited"],
            "done":      ["scheduled"],
            "skipped":   [],
            "forfeited": []
        }}');

CREATE FUNCTION hs.follow_agreement_work() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hs.agreement_visit AS v
    SET status = CASE WHEN w.status = 'cancelled' THEN 'owed'
                      WHEN w.completed_at IS NULL THEN 'scheduled' ELSE 'done' END,
        work_order_id = CASE WHEN w.status <> 'cancelled' THEN v.work_order_id END,
        scheduled_on = CASE WHEN w.status <> 'cancelled' THEN v.scheduled_on END,
        completed_on = (w.completed_at AT TIME ZONE b.time_zone)::date
    FROM changed AS w
    JOIN stood AS o ON o.business_id = w.business_id AND o.work_order_id = w.work_order_id
    JOIN tenant_mgmt.business AS b ON b.business_id = w.business_id
    WHERE o.status <> w.status
      AND v.business_id = w.business_id
      AND v.work_order_id = w.work_order_id
      AND CASE v.status WHEN 'scheduled' THEN w.status = 'cancelled' OR w.completed_at IS NOT NULL
                        WHEN 'done' THEN w.status <> 'cancelled' AND w.completed_at IS NULL
                        ELSE false END;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.follow_agreement_work() IS
    'A visit is done when its work order is completed, and owed again when it is cancelled.';

CREATE TRIGGER work_order_agreement_visit
    AFTER UPDATE ON hs.work_order
    REFERENCING OLD TABLE AS stood NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.follow_agreement_work();


CREATE TABLE hs.agreement_billing (
    business_id          uuid              NOT NULL,
    agreement_billing_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    agreement_id         uuid              NOT NULL,
    invoice_id           uuid,
    payment_id           uuid,
    installment_no       integer           NOT NULL,
    status               text              NOT NULL DEFAULT 'upcoming',
    billed_amount        system_core.money NOT NULL,
    tax_amount           system_core.money NOT NULL DEFAULT 0,
    attempt_count        integer           NOT NULL DEFAULT 0,
    failure_code         text,
    due_on               date              NOT NULL,
    last_attempt_at      timestamptz,
    paid_at              timestamptz,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, agreement_billing_id),
    UNIQUE (business_id, agreement_id, installment_no),
    FOREIGN KEY (business_id, agreement_id)
        REFERENCES hs.agreement (business_id, agreement_id),
    FOREIGN KEY (business_id, invoice_id) REFERENCES hs.invoice (business_id, invoice_id),
    FOREIGN KEY (business_id, payment_id) REFERENCES hs.payment (business_id, payment_id),
    CONSTRAINT agreement_billing_number_positive CHECK (installment_no >= 1),
    CONSTRAINT agreement_billing_status_known
        CHECK (status IN ('upcoming', 'invoiced', 'paid', 'failed', 'waived', 'refunded')),
    CONSTRAINT agreement_billing_amounts_not_negative
        CHECK (billed_amount >= 0 AND tax_amount >= 0),
    CONSTRAINT agreement_billing_attempts_bounded CHECK (attempt_count BETWEEN 0 AND 6),
    CONSTRAINT agreement_billing_tried_has_time
        CHECK ((attempt_count = 0) = (last_attempt_at IS NULL)),
    CONSTRAINT agreement_billing_paid_has_time CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
    CONSTRAINT agreement_billing_billed_has_invoice
        CHECK (status IN ('upcoming', 'waived') OR invoice_id IS NOT NULL),
    CONSTRAINT agreement_billing_failed_has_code
        CHECK (status <> 'failed' OR failure_code IS NOT NULL)
);

COMMENT ON TABLE hs.agreement_billing IS
    'An installment of an agreement: due, invoiced, paid, or tried again.';
COMMENT ON COLUMN hs.agreement_billing.attempt_count IS
    'How often it was tried to charge the stored payment method.';

-- Serves bill_agreements(): what is due to be billed.
CREATE INDEX agreement_billing_due_idx
    ON hs.agreement_billing (business_id, due_on)
    WHERE status = 'upcoming';

-- FK: an invoice bills one installment.
CREATE UNIQUE INDEX agreement_billing_invoice_idx
    ON hs.agreement_billing (business_id, invoice_id)
    WHERE invoice_id IS NOT NULL;

-- FK: the installments that a payment paid.
CREATE INDEX agreement_billing_payment_idx
    ON hs.agreement_billing (business_id, payment_id)
    WHERE payment_id IS NOT NULL;

ALTER TABLE hs.agreement_billing ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.agreement_billing
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.agreement_billing TO app_user;
GRANT SELECT ON hs.agreement_billing TO app_readonly;

CREATE TRIGGER agreement_billing_touch
    BEFORE UPDATE ON hs.agreement_billing
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER agreement_billing_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.agreement_billing
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["upcoming"],
        "transitions": {
            "upcoming": ["invoiced", "waived"],
            "invoiced": ["paid", "failed", "waived", "upcoming"],
            "failed":   ["paid", "waived", "upcoming"],
            "paid":     ["failed", "refunded", "upcoming"],
            "waived":   [],
            "refunded": []
        }}');

CREATE FUNCTION hs.find_next_billing() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM hs.agreement AS a
    WHERE (a.business_id, a.agreement_id) IN (
        SELECT c.business_id, c.agreement_id FROM changed AS c)
    ORDER BY a.business_id, a.agreement_id
    FOR NO KEY UPDATE;

    UPDATE hs.agreement AS a
    SET next_billing_on = n.due_on
    FROM (SELECT DISTINCT c.business_id, c.agreement_id FROM changed AS c) AS t
    CROSS JOIN LATERAL (
        SELECT min(b.due_on) AS due_on FROM hs.agreement_billing AS b
        WHERE b.business_id = t.business_id
          AND b.agreement_id = t.agreement_id
          AND b.status = 'upcoming'
    ) AS n
    WHERE a.business_id = t.business_id
      AND a.agreement_id = t.agreement_id
      AND a.next_billing_on IS DISTINCT FROM n.due_on;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.find_next_billing() IS
    'Keeps the next day on which an agreement is billed from its installments.';

CREATE TRIGGER agreement_billing_next_insert
    AFTER INSERT ON hs.agreement_billing
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.find_next_billing();

CREATE TRIGGER agreement_billing_next_update
    AFTER UPDATE ON hs.agreement_billing
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.find_next_billing();

CREATE TRIGGER agreement_billing_next_delete
    AFTER DELETE ON hs.agreement_billing
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.find_next_billing();

CREATE FUNCTION hs.follow_agreement_invoice() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE hs.agreement_billing AS b
    SET status = CASE i.status WHEN 'paid' THEN 'paid' WHEN 'void' THEN 'upcoming'
                               ELSE 'failed' END,
        invoice_id = CASE WHEN i.status <> 'void' THEN b.invoice_id END,
        paid_at = CASE i.status WHEN 'paid' THEN i.paid_at END,
        payment_id = CASE i.status WHEN 'paid' THEN (
            SELECT a.payment_id FROM hs.payment_allocation AS a
            WHERE a.business_id = i.business_id
              AND a.invoice_id = i.invoice_id
              AND a.reversed_at IS NULL
            ORDER BY a.allocated_at DESC, a.payment_allocation_id DESC
            LIMIT 1) END,
        failure_code = CASE WHEN i.status NOT IN ('paid', 'void') THEN 'reversed' END
    FROM changed AS i
    JOIN stood AS o ON o.business_id = i.business_id AND o.invoice_id = i.invoice_id
    WHERE i.invoice_kind = 'agreement'
      AND o.status <> i.status
      AND b.business_id = i.business_id
      AND b.invoice_id = i.invoice_id
      AND CASE b.status WHEN 'invoiced' THEN i.status IN ('paid', 'void')
                        WHEN 'failed' THEN i.status IN ('paid', 'void')
                        WHEN 'paid' THEN i.status <> 'paid'
                        ELSE false END;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.follow_agreement_invoice() IS
    'An installment is paid with its invoice, fails when the money is lost, and is due again when
     the invoice is voided.';

CREATE TRIGGER invoice_agreement_billing
    AFTER UPDATE ON hs.invoice
    REFERENCING OLD TABLE AS stood NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.follow_agreement_invoice();


CREATE TABLE hs.deferred_revenue_entry (
    business_id               uuid              NOT NULL,
    deferred_revenue_entry_id uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    agreement_id              uuid              NOT NULL,
    agreement_visit_id        uuid,
    period_on                 date              NOT NULL,
    entry_kind                text              NOT NULL,
    recognition_basis         text              NOT NULL,
    entry_amount              system_core.money NOT NULL,
    deferred_balance          system_core.money NOT NULL,
    ledger_ref                text,
    posted_at                 timestamptz       NOT NULL DEFAULT now(),
    created_at                timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, deferred_revenue_entry_id),
    UNIQUE (business_id, agreement_id, period_on, entry_kind, recognition_basis),
    FOREIGN KEY (business_id, agreement_id)
        REFERENCES hs.agreement (business_id, agreement_id),
    FOREIGN KEY (business_id, agreement_visit_id)
        REFERENCES hs.agreement_visit (business_id, agreement_visit_id),
    CONSTRAINT deferred_revenue_entry_period_is_a_month
        CHECK (extract(day FROM period_on) = 1),
    CONSTRAINT deferred_revenue_entry_kind_known
        CHECK (entry_kind IN ('deferral', 'recognition', 'reversal', 'forfeiture')),
    CONSTRAINT deferred_revenue_entry_basis_known
        CHECK (recognition_basis IN ('straight_line', 'per_visit')),
    CONSTRAINT deferred_revenue_entry_amount_positive CHECK (entry_amount > 0),
    CONSTRAINT deferred_revenue_entry_balance_not_negative CHECK (deferred_balance >= 0)
);

COMMENT ON TABLE hs.deferred_revenue_entry IS
    'The ledger of money of agreements that is billed and not earned yet; append-only.';
COMMENT ON COLUMN hs.deferred_revenue_entry.period_on IS 'First day of the month.';
COMMENT ON COLUMN hs.deferred_revenue_entry.entry_kind IS
    'deferral adds what was billed; recognition takes what was earned, forfeiture what the
     customer let lapse (both are revenue), reversal what a cancelled agreement is owed.';
COMMENT ON COLUMN hs.deferred_revenue_entry.deferred_balance IS
    'What is deferred of the agreement after this entry.';

-- FK: what a visit earned.
CREATE INDEX deferred_revenue_entry_visit_idx
    ON hs.deferred_revenue_entry (business_id, agreement_visit_id)
    WHERE agreement_visit_id IS NOT NULL;

-- The books of a month.
CREATE INDEX deferred_revenue_entry_period_idx
    ON hs.deferred_revenue_entry (business_id, period_on, entry_kind);

ALTER TABLE hs.deferred_revenue_entry ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.deferred_revenue_entry
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON hs.deferred_revenue_entry TO app_user;
GRANT SELECT ON hs.deferred_revenue_entry TO app_readonly;

CREATE TRIGGER deferred_revenue_entry_append_only
    BEFORE UPDATE OR DELETE ON hs.deferred_revenue_entry
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('hs.deferred_revenue_entry');

CREATE FUNCTION hs.require_carried_forward() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    PERFORM FROM hs.agreement AS a
    WHERE (a.business_id, a.agreement_id) IN (
        SELECT c.business_id, c.agreement_id FROM changed AS c)
    ORDER BY a.business_id, a.agreement_id
    FOR NO KEY UPDATE;

    SELECT a.agreement_number, r.period_on, r.entry_kind, r.deferred_balance, r.carried INTO wrong
    FROM (SELECT DISTINCT c.business_id, c.agreement_id FROM changed AS c) AS t
    JOIN hs.agreement AS a ON a.business_id = t.business_id AND a.agreement_id = t.agreement_id
    CROSS JOIN LATERAL (
        SELECT e.period_on, e.entry_kind, e.deferred_balance,
               sum(CASE e.entry_kind WHEN 'deferral' THEN e.entry_amount
                                     ELSE -e.entry_amount END) OVER (
                   ORDER BY e.period_on,
                            array_position('{deferral,recognition,reversal,forfeiture}'::text[],
                                           e.entry_kind),
                            e.recognition_basis) AS carried
        FROM hs.deferred_revenue_entry AS e
        WHERE e.business_id = t.business_id AND e.agreement_id = t.agreement_id
    ) AS r
    WHERE r.carried < 0 OR r.carried <> r.deferred_balance
    ORDER BY r.period_on
    LIMIT 1;
    IF wrong.carried < 0 THEN
        RAISE EXCEPTION 'more would be earned of agreement % than was deferred: % by %',
                        wrong.agreement_number, -wrong.carried, wrong.period_on
            USING ERRCODE = 'check_violation';
    ELSIF FOUND THEN
        RAISE EXCEPTION 'the % of agreement % in % leaves %, not %', wrong.entry_kind,
                        wrong.agreement_number, wrong.period_on, wrong.carried,
                        wrong.deferred_balance
            USING ERRCODE = 'check_violation', HINT = 'Months are posted one after the other.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_carried_forward() IS
    'The balance of every entry follows from those before it, and never more is taken than was
     deferred.';

CREATE TRIGGER deferred_revenue_entry_carried
    AFTER INSERT ON hs.deferred_revenue_entry
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_carried_forward();


CREATE FUNCTION hs.activate_agreement(contract uuid) RETURNS hs.agreement
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    sold   hs.agreement;
    plan   hs.agreement_plan;
    step   integer;
    parts  integer;
BEGIN
    SELECT a.* INTO sold FROM hs.agreement AS a
    WHERE a.business_id = tenant AND a.agreement_id = contract
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no agreement %', contract USING ERRCODE = 'no_data_found';
    ELSIF sold.status <> 'pending' THEN
        RAISE EXCEPTION 'agreement % is % already', sold.agreement_number, sold.status
            USING ERRCODE = 'check_violation';
    END IF;
    SELECT p.* INTO plan FROM hs.agreement_plan AS p
    WHERE p.business_id = tenant AND p.agreement_plan_id = sold.agreement_plan_id;

    UPDATE hs.agreement AS a
    SET status = 'renewed'
    WHERE a.business_id = tenant
      AND a.agreement_id = sold.renewed_from_agreement_id
      AND a.status = 'active';
    UPDATE hs.agreement AS a
    SET status = 'active'
    WHERE a.business_id = tenant AND a.agreement_id = contract;

    -- Each promised visit once for every year of the term, in the middle of its month.
    INSERT INTO hs.agreement_visit
        (business_id, agreement_id, agreement_plan_visit_id, visit_seq, due_on, window_start_on,
         window_end_on, value_amount)
    SELECT tenant, contract, v.agreement_plan_visit_id, v.seq, v.due_on,
           greatest(v.due_on - v.days_before_window, sold.starts_on),
           least(v.due_on + v.days_after_window, sold.ends_on),
           round(sold.contract_amount * v.seq / v.visits, 2)
               - round(sold.contract_amount * (v.seq - 1) / v.visits, 2)
    FROM (
        SELECT x.*, d.due_on, count(*) OVER () AS visits,
               row_number() OVER (ORDER BY d.due_on, x.visit_seq) AS seq
        FROM hs.agreement_plan_visit AS x
        CROSS JOIN generate_series(extract(year FROM sold.starts_on)::integer,
                                   extract(year FROM sold.ends_on)::integer) AS y
        CROSS JOIN LATERAL (SELECT make_date(y, x.preferred_month, 15) AS due_on) AS d
        WHERE x.business_id = tenant
          AND x.agreement_plan_id = sold.agreement_plan_id
          AND d.due_on BETWEEN sold.starts_on AND sold.ends_on
    ) AS v;

    step := CASE plan.billing_frequency WHEN 'monthly' THEN 1 WHEN 'quarterly' THEN 3
                                        WHEN 'annual' THEN 12 ELSE plan.term_months END;
    parts := ceil(plan.term_months::numeric / step);
    INSERT INTO hs.agreement_billing
        (business_id, agreement_id, installment_no, due_on, billed_amount)
    SELECT tenant, contract, n,
           (sold.starts_on + make_interval(months => (n - 1) * step))::date,
           CASE WHEN n < parts THEN sold.billing_amount
                ELSE sold.contract_amount - (parts - 1) * sold.billing_amount END
    FROM generate_series(1, parts) AS n;

    SELECT a.* INTO sold FROM hs.agreement AS a
    WHERE a.business_id = tenant AND a.agreement_id = contract;
    RETURN sold;
END
$$;
COMMENT ON FUNCTION hs.activate_agreement(uuid) IS
    'Puts a signed agreement of the current tenant in force: it owes the visits of its plan and is
     billed in installments that sum to its price; the agreement that it renews is done.';


CREATE FUNCTION hs.renew_agreement(contract uuid) RETURNS hs.agreement
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO hs.agreement
        (business_id, agreement_plan_id, customer_id, service_location_id,
         renewed_from_agreement_id, stored_payment_method_id, agreement_number, contract_amount,
         billing_amount, is_auto_renewing, starts_on, ends_on, renewal_notice_on)
    SELECT a.business_id, a.agreement_plan_id, a.customer_id, a.service_location_id,
           a.agreement_id, a.stored_payment_method_id,
           system_core.next_document_number('agreement'),
           price.installment * ceil(p.term_months::numeric / price.step), price.installment,
           a.is_auto_renewing, a.ends_on + 1,
           (a.ends_on + make_interval(months => p.term_months))::date,
           (a.ends_on + make_interval(months => p.term_months))::date - 30
    FROM hs.agreement AS a
    JOIN hs.agreement_plan AS p
        ON p.business_id = a.business_id AND p.agreement_plan_id = a.agreement_plan_id
    CROSS JOIN LATERAL (
        SELECT CASE p.billing_frequency WHEN 'monthly' THEN p.monthly_price
                                        WHEN 'quarterly' THEN 3 * p.monthly_price
                                        WHEN 'annual' THEN p.annual_price
                                        ELSE round(p.annual_price * p.term_months / 12, 2)
               END AS installment,
               CASE p.billing_frequency WHEN 'monthly' THEN 1 WHEN 'quarterly' THEN 3
                                        WHEN 'annual' THEN 12 ELSE p.term_months END AS step
    ) AS price
    WHERE a.business_id = tenant_mgmt.current_business_id()
      AND a.agreement_id = contract
      AND a.status = 'active'
      AND p.status = 'active'
    RETURNING *;
END;
COMMENT ON FUNCTION hs.renew_agreement(uuid) IS
    'Offers the next term of an agreement in force of the current tenant at today''s price of its
     plan; it is pending until it is signed and activated. No row where there is nothing to renew.';


CREATE FUNCTION hs.cancel_agreement(
    contract uuid, reason text, on_day date DEFAULT tenant_mgmt.today())
    RETURNS hs.agreement
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    ended  hs.agreement;
BEGIN
    UPDATE hs.agreement AS a
    SET status = 'cancelled', cancel_reason = reason, cancelled_on = on_day
    WHERE a.business_id = tenant AND a.agreement_id = contract
    RETURNING a.* INTO ended;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no agreement %', contract USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE hs.agreement_billing AS b
    SET status = 'waived'
    WHERE b.business_id = tenant
      AND b.agreement_id = contract
      AND b.status = 'upcoming'
      AND b.due_on > on_day;
    UPDATE hs.agreement_visit AS v
    SET status = 'forfeited'
    WHERE v.business_id = tenant AND v.agreement_id = contract AND v.status = 'owed';
    SELECT a.* INTO ended FROM hs.agreement AS a
    WHERE a.business_id = tenant AND a.agreement_id = contract;
    RETURN ended;
END
$$;
COMMENT ON FUNCTION hs.cancel_agreement(uuid, text, date) IS
    'Ends an agreement of the current tenant early: what is due later is waived, visits that are
     owed lapse. What was billed and is not earned is reversed when the month is posted.';


CREATE FUNCTION hs.book_agreement_visit(visit uuid, job uuid, on_day date)
    RETURNS hs.agreement_visit
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    booked hs.agreement_visit;
BEGIN
    PERFORM FROM hs.work_order AS w
    JOIN hs.agreement_visit AS v ON v.business_id = w.business_id AND v.agreement_visit_id = visit
    JOIN hs.agreement AS a ON a.business_id = v.business_id AND a.agreement_id = v.agreement_id
    WHERE w.business_id = tenant
      AND w.work_order_id = job
      AND w.service_location_id = a.service_location_id
      AND w.status NOT IN ('completed', 'invoiced', 'closed', 'cancelled')
      AND a.status = 'active'
    FOR NO KEY UPDATE OF w;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'work order % cannot do visit %', job, visit
            USING ERRCODE = 'check_violation',
                  HINT = 'It is open work at the location of an agreement in force.';
    END IF;

    UPDATE hs.agreement_visit AS v
    SET status = 'scheduled', work_order_id = job, scheduled_on = on_day
    WHERE v.business_id = tenant AND v.agreement_visit_id = visit AND v.status = 'owed'
    RETURNING v.* INTO booked;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'visit % is not owed any more', visit USING ERRCODE = 'check_violation';
    END IF;
    UPDATE hs.work_order AS w
    SET agreement_id = booked.agreement_id
    WHERE w.business_id = tenant AND w.work_order_id = job;

    INSERT INTO hs.work_order_task
        (business_id, work_order_id, task_seq, instruction, task_kind, status, is_mandatory,
         expected_minutes)
    SELECT tenant, job,
           s.step_no + (SELECT coalesce(max(t.task_seq), 0) FROM hs.work_order_task AS t
                        WHERE t.business_id = tenant AND t.work_order_id = job),
           s.instruction, s.task_kind, 'pending', s.is_mandatory, s.expected_minutes
    FROM hs.agreement_plan_visit AS p
    CROSS JOIN JSON_TABLE(p.checklist, '$[*]' COLUMNS (
        step_no          FOR ORDINALITY,
        instruction      text    PATH '$.instruction',
        task_kind        text    PATH '$.kind' DEFAULT 'repair' ON EMPTY,
        is_mandatory     boolean PATH '$.mandatory' DEFAULT true ON EMPTY,
        expected_minutes integer PATH '$.minutes' DEFAULT 10 ON EMPTY
    )) AS s
    WHERE p.business_id = tenant
      AND p.agreement_plan_visit_id = booked.agreement_plan_visit_id;
    RETURN booked;
END
$$;
COMMENT ON FUNCTION hs.book_agreement_visit(uuid, uuid, date) IS
    'Lets a work order of the current tenant do an owed visit on a day: the checklist of the plan
     becomes its steps.';


CREATE FUNCTION hs.bill_agreements(on_day date DEFAULT tenant_mgmt.today()) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    due    record;
    bill   uuid;
    billed integer := 0;
BEGIN
    FOR due IN
        SELECT b.agreement_billing_id, b.agreement_id, b.installment_no, b.billed_amount,
               a.customer_id, a.service_location_id, p.name, p.sale_task_id,
               u.revenue_account_code, u.unit_code, z.currency_code,
               CASE WHEN c.is_tax_exempt OR NOT t.is_taxable THEN 0
                    ELSE coalesce(x.tax_pct, 0) END AS tax_pct,
               x.tax_rate_id
        FROM hs.agreement_billing AS b
        JOIN hs.agreement AS a
            ON a.business_id = b.business_id AND a.agreement_id = b.agreement_id
        JOIN hs.agreement_plan AS p
            ON p.business_id = a.business_id AND p.agreement_plan_id = a.agreement_plan_id
        JOIN hs.business_unit AS u
            ON u.business_id = p.business_id AND u.business_unit_id = p.business_unit_id
        JOIN hs.customer AS c
            ON c.business_id = a.business_id AND c.customer_id = a.customer_id
        JOIN tenant_mgmt.business AS z ON z.business_id = a.business_id
        LEFT JOIN hs.service_task AS t
            ON t.business_id = p.business_id AND t.service_task_id = p.sale_task_id
        LEFT JOIN LATERAL hs.location_tax(tenant, a.service_location_id, 'labor', on_day) AS x
            ON true
        WHERE b.business_id = tenant
          AND b.status = 'upcoming'
          AND b.due_on <= on_day
          AND b.billed_amount > 0
          AND a.status = 'active'
        ORDER BY b.due_on, b.agreement_billing_id
        FOR NO KEY UPDATE OF b SKIP LOCKED
    LOOP
        INSERT INTO hs.invoice
            (business_id, customer_id, service_location_id, agreement_id, invoice_number,
             invoice_kind, currency_code)
        VALUES (tenant, due.customer_id, due.service_location_id, due.agreement_id,
                system_core.next_document_number('invoice', due.unit_code), 'agreement',
                due.currency_code)
        RETURNING invoice_id INTO bill;
        INSERT INTO hs.invoice_line
            (business_id, invoice_id, service_task_id, tax_rate_id, line_no, description,
             unit_price, tax_pct, tax_amount, revenue_account_code)
        VALUES (tenant, bill, due.sale_task_id, CASE WHEN due.tax_pct > 0 THEN due.tax_rate_id END,
                1, format('%s, installment %s', due.name, due.installment_no), due.billed_amount,
                due.tax_pct, round(due.billed_amount * due.tax_pct / 100, 2),
                due.revenue_account_code);
        UPDATE hs.invoice AS i
        SET status = 'issued', invoice_on = on_day
        WHERE i.business_id = tenant AND i.invoice_id = bill;
        UPDATE hs.agreement_billing AS b
        SET status = 'invoiced', invoice_id = bill,
            tax_amount = round(due.billed_amount * due.tax_pct / 100, 2)
        WHERE b.business_id = tenant AND b.agreement_billing_id = due.agreement_billing_id;
        billed := billed + 1;
    END LOOP;
    RETURN billed;
END
$$;
COMMENT ON FUNCTION hs.bill_agreements(date) IS
    'Invoices the installments of agreements in force of the current tenant that are due by a day;
     how many. Two workers never bill the same installment.';


CREATE FUNCTION hs.expire_agreements(on_day date DEFAULT tenant_mgmt.today()) RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    WITH over AS (
        UPDATE hs.agreement AS a
        SET status = 'expired'
        WHERE a.business_id = tenant_mgmt.current_business_id()
          AND a.status IN ('active', 'suspended')
          AND a.ends_on < on_day
        RETURNING a.agreement_id
    )
    SELECT count(*)::integer FROM over;
END;
COMMENT ON FUNCTION hs.expire_agreements(date) IS
    'Ends the agreements of the current tenant whose term was over before a day; how many.';


CREATE FUNCTION hs.recognize_agreement_revenue(period_on date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant    CONSTANT uuid := tenant_mgmt.current_business_id();
    first_day CONSTANT date := date_trunc('month', period_on)::date;
    last_day  CONSTANT date := (first_day + interval '1 month')::date - 1;
    locked    uuid[];
    posted    integer;
BEGIN
    -- An agreement that has this month or a later one in the ledger is done.
    SELECT array_agg(o.agreement_id) INTO locked
    FROM (
        SELECT a.agreement_id FROM hs.agreement AS a
        WHERE a.business_id = tenant
          AND a.signed_at IS NOT NULL
          AND a.status <> 'pending'
          AND a.starts_on <= last_day
        ORDER BY a.agreement_id
        FOR NO KEY UPDATE
    ) AS o;

    WITH state AS (
        SELECT a.agreement_id, p.recognition_basis,
               coalesce(ledger.balance, 0) AS balance,
               greatest(billed.amount - coalesce(ledger.deferred, 0), 0) AS deferral,
               greatest(CASE p.recognition_basis
                   WHEN 'per_visit' THEN visited.value_amount
                   ELSE round(a.contract_amount
                              * greatest(least(last_day, a.ends_on, a.cancelled_on)
                                         - a.starts_on + 1, 0)
                              / (a.ends_on - a.starts_on + 1), 2) END
                   - coalesce(ledger.recognized, 0), 0) AS earned,
               visited.newest AS visit,
               CASE WHEN a.cancelled_on <= last_day THEN 'reversal'
                    WHEN a.ends_on <= last_day THEN 'forfeiture' END AS ending
        FROM hs.agreement AS a
        JOIN hs.agreement_plan AS p
            ON p.business_id = a.business_id AND p.agreement_plan_id = a.agreement_plan_id
        CROSS JOIN LATERAL (
            SELECT sum(CASE e.entry_kind WHEN 'deferral' THEN e.entry_amount
                                         ELSE -e.entry_amount END) AS balance,
                   sum(e.entry_amount) FILTER (WHERE e.entry_kind = 'deferral') AS deferred,
                   sum(e.entry_amount) FILTER (WHERE e.entry_kind = 'recognition')
                       AS recognized,
                   max(e.period_on) AS last_period
            FROM hs.deferred_revenue_entry AS e
            WHERE e.business_id = tenant AND e.agreement_id = a.agreement_id
        ) AS ledger
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(b.billed_amount), 0) AS amount
            FROM hs.agreement_billing AS b
            WHERE b.business_id = tenant
              AND b.agreement_id = a.agreement_id
              AND b.status IN ('invoiced', 'paid', 'failed')
              AND b.due_on <= least(last_day, a.cancelled_on)
        ) AS billed
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(v.value_amount), 0) AS value_amount,
                   CASE WHEN count(*) FILTER (WHERE v.completed_on >= first_day) = 1
                        THEN (array_agg(v.agreement_visit_id ORDER BY v.completed_on DESC))[1]
                   END AS newest
            FROM hs.agreement_visit AS v
            WHERE v.business_id = tenant
              AND v.agreement_id = a.agreement_id
              AND v.completed_on <= last_day
        ) AS visited
        WHERE a.business_id = tenant
          AND a.agreement_id = ANY (locked)
          AND (ledger.last_period < first_day OR ledger.last_period IS NULL)
    ), split AS (
        SELECT s.*, s.balance + s.deferral AS held,
               least(s.earned, s.balance + s.deferral) AS recognized
        FROM state AS s
    )
    INSERT INTO hs.deferred_revenue_entry
        (business_id, agreement_id, agreement_visit_id, period_on, entry_kind, recognition_basis,
         entry_amount, deferred_balance, posted_at, created_at)
    SELECT tenant, s.agreement_id, e.visit, first_day, e.kind, s.recognition_basis, e.amount,
           e.balance, clock_timestamp(), now()
    FROM split AS s
    CROSS JOIN LATERAL (
        VALUES (1, 'deferral', s.deferral, s.held, NULL),
               (2, 'recognition', s.recognized, s.held - s.recognized,
                CASE s.recognition_basis WHEN 'per_visit' THEN s.visit END),
               (3, s.ending, CASE WHEN s.ending IS NOT NULL THEN s.held - s.recognized END, 0,
                NULL)
    ) AS e (step, kind, amount, balance, visit)
    WHERE e.amount > 0
    ORDER BY s.agreement_id, e.step;
    GET DIAGNOSTICS posted = ROW_COUNT;

    UPDATE hs.agreement_visit AS v
    SET status = 'forfeited'
    FROM hs.agreement AS a
    WHERE v.business_id = tenant
      AND v.agreement_id = ANY (locked)
      AND v.status = 'owed'
      AND a.business_id = v.business_id
      AND a.agreement_id = v.agreement_id
      AND least(a.ends_on, a.cancelled_on) <= last_day;
    RETURN posted;
END
$$;
COMMENT ON FUNCTION hs.recognize_agreement_revenue(date) IS
    'Posts a month for the agreements of the current tenant, once for each: defers what was billed,
     recognizes what was earned by then (day by day or by visits done, never more than is
     deferred), and at the end of the term lets unused visits lapse and forfeits what they were
     worth; what a cancelled agreement has left is reversed. Returns the entries posted.';


CREATE VIEW hs.v_agreement_visits_due WITH (security_invoker = true) AS
SELECT v.business_id, v.agreement_visit_id, v.agreement_id, a.agreement_number, v.visit_seq,
       p.name AS visit_name, p.season, v.due_on, v.window_start_on, v.window_end_on,
       v.window_end_on - today.local AS days_left,
       CASE WHEN today.local > v.window_end_on THEN 'late'
            WHEN today.local >= v.window_start_on THEN 'open'
            ELSE 'ahead' END AS window_state,
       a.customer_id, c.display_name AS customer_name, c.primary_phone,
       a.service_location_id, l.address_line, l.city, l.postal_code, l.service_territory_id,
       p.job_type_id, p.duration_minutes, equipment.covered_count, equipment.asset_tags,
       v.contact_attempt_count, v.reminder_sent_at
FROM hs.agreement_visit AS v
JOIN hs.agreement AS a ON a.business_id = v.business_id AND a.agreement_id = v.agreement_id
JOIN hs.agreement_plan_visit AS p
    ON p.business_id = v.business_id
    AND p.agreement_plan_visit_id = v.agreement_plan_visit_id
JOIN hs.customer AS c ON c.business_id = a.business_id AND c.customer_id = a.customer_id
JOIN hs.service_location AS l
    ON l.business_id = a.business_id AND l.service_location_id = a.service_location_id
CROSS JOIN (SELECT tenant_mgmt.today() AS local) AS today
LEFT JOIN LATERAL (
    SELECT count(*) AS covered_count,
           array_agg(i.asset_tag::text ORDER BY i.asset_tag) AS asset_tags
    FROM hs.agreement_equipment AS e
    JOIN hs.installed_equipment AS i
        ON i.business_id = e.business_id
        AND i.installed_equipment_id = e.installed_equipment_id
    WHERE e.business_id = a.business_id
      AND e.agreement_id = a.agreement_id
      AND (e.removed_on > today.local OR e.removed_on IS NULL)
) AS equipment ON true
WHERE v.business_id = tenant_mgmt.current_business_id()
  AND v.status = 'owed'
  AND a.status = 'active';
COMMENT ON VIEW hs.v_agreement_visits_due IS
    'Visits that agreements in force owe, with their window, place, equipment and how often the
     customer was called; the office books from it.';
GRANT SELECT ON hs.v_agreement_visits_due TO app_user, app_readonly;
