/*
 * Projects: installs and remodels that take several visits.
 *
 * A project bundles the work orders of one contract. A change_order is what turned out to be
 * different during the work, with its price, once the customer agreed; a permit is what the
 * municipality asks for, of a project or of a single job. A subcontractor is a firm that does a
 * part, for as long as its license and its insurance are in date.
 *
 * Work orders, their lines and their holds, and purchase orders come before this file; their keys
 * to it are added below.
 */

CREATE TABLE hs.project (
    business_id           uuid                   NOT NULL,
    project_id            uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    customer_id           uuid                   NOT NULL,
    service_location_id   uuid                   NOT NULL,
    business_unit_id      uuid                   NOT NULL,
    manager_technician_id uuid,
    project_number        system_core.code       NOT NULL,
    name                  text                   NOT NULL,
    project_kind          text                   NOT NULL DEFAULT 'replacement',
    status                text                   NOT NULL DEFAULT 'planning',
    contract_amount       system_core.money      NOT NULL DEFAULT 0,
    cost_budget           system_core.money      NOT NULL DEFAULT 0,
    billed_to_date_amount system_core.money      NOT NULL DEFAULT 0,
    retainage_pct         system_core.percentage NOT NULL DEFAULT 0,
    complete_pct          system_core.percentage NOT NULL DEFAULT 0,
    starts_on             date,
    target_completion_on  date,
    completed_on          date,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, project_id),
    UNIQUE (business_id, project_number),
    FOREIGN KEY (business_id, customer_id) REFERENCES hs.customer (business_id, customer_id),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, manager_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT project_kind_known
        CHECK (project_kind IN ('replacement', 'new_construction', 'remodel', 'service_upgrade',
                                'multi_unit')),
    CONSTRAINT project_status_known
        CHECK (status IN ('planning', 'sold', 'permitting', 'scheduled', 'in_progress',
                          'punch_list', 'complete', 'cancelled')),
    CONSTRAINT project_complete_bounded CHECK (complete_pct BETWEEN 0 AND 100),
    CONSTRAINT project_retainage_bounded CHECK (retainage_pct BETWEEN 0 AND 20),
    CONSTRAINT project_amounts_not_negative
        CHECK (contract_amount >= 0 AND cost_budget >= 0 AND billed_to_date_amount >= 0),
    CONSTRAINT project_target_after_start CHECK (target_completion_on >= starts_on),
    CONSTRAINT project_completed_after_start CHECK (completed_on >= starts_on),
    CONSTRAINT project_complete_has_day CHECK ((status = 'complete') = (completed_on IS NOT NULL)),
    CONSTRAINT project_complete_is_whole CHECK (status <> 'complete' OR complete_pct = 100)
);

COMMENT ON TABLE hs.project IS
    'A contract of several visits: its value, its budget, and how far it is.';
COMMENT ON COLUMN hs.project.contract_amount IS
    'As signed; approved change orders come on top, see hs.v_project_value.';
COMMENT ON COLUMN hs.project.retainage_pct IS
    'What the customer keeps of each bill until the work is accepted.';

-- FK: the projects of a customer.
CREATE INDEX project_customer_idx ON hs.project (business_id, customer_id);

-- FK: the projects at a place.
CREATE INDEX project_location_idx ON hs.project (business_id, service_location_id);

-- FK: the projects of a unit, by state.
CREATE INDEX project_unit_idx ON hs.project (business_id, business_unit_id, status);

-- FK: what a technician manages.
CREATE INDEX project_manager_idx
    ON hs.project (business_id, manager_technician_id)
    WHERE manager_technician_id IS NOT NULL;

ALTER TABLE hs.project ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.project
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.project TO app_user;
GRANT SELECT ON hs.project TO app_readonly;

CREATE TRIGGER project_touch
    BEFORE UPDATE ON hs.project
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER project_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.project
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planning", "sold"],
        "transitions": {
            "planning":    ["sold", "cancelled"],
            "sold":        ["permitting", "scheduled", "cancelled"],
            "permitting":  ["scheduled", "cancelled"],
            "scheduled":   ["permitting", "in_progress", "cancelled"],
            "in_progress": ["scheduled", "punch_list", "complete", "cancelled"],
            "punch_list":  ["in_progress", "complete"],
            "complete":    ["punch_list"],
            "cancelled":   []
        }}');

ALTER TABLE hs.work_order
    ADD FOREIGN KEY (business_id, project_id) REFERENCES hs.project (business_id, project_id);
ALTER TABLE hs.purchase_order
    ADD FOREIGN KEY (business_id, project_id) REFERENCES hs.project (business_id, project_id);


CREATE TABLE hs.change_order (
    business_id                uuid              NOT NULL,
    change_order_id            uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    work_order_id              uuid              NOT NULL,
    project_id                 uuid,
    created_by_user_account_id uuid,
    change_order_number        system_core.code  NOT NULL,
    reason                     text              NOT NULL,
    status                     text              NOT NULL DEFAULT 'draft',
    description                text              NOT NULL,
    price_delta_amount         system_core.money NOT NULL DEFAULT 0,
    cost_delta_amount          system_core.money NOT NULL DEFAULT 0,
    schedule_delta_days        integer           NOT NULL DEFAULT 0,
    approval_method            text,
    presented_at               timestamptz,
    approved_at                timestamptz,
    created_at                 timestamptz       NOT NULL DEFAULT now(),
    updated_at                 timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, change_order_id),
    UNIQUE (business_id, change_order_number),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, project_id) REFERENCES hs.project (business_id, project_id),
    FOREIGN KEY (business_id, created_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT change_order_reason_known
        CHECK (reason IN ('hidden_condition', 'customer_request', 'code_requirement',
                          'design_error', 'price_change')),
    CONSTRAINT change_order_status_known
        CHECK (status IN ('draft', 'presented', 'approved', 'declined', 'void')),
    CONSTRAINT change_order_method_known
        CHECK (approval_method IN ('signature', 'email', 'recorded_call')),
    CONSTRAINT change_order_approved_has_time
        CHECK ((status = 'approved') = (approved_at IS NOT NULL)),
    CONSTRAINT change_order_approved_somehow
        CHECK ((approved_at IS NULL) = (approval_method IS NULL)),
    CONSTRAINT change_order_presented_has_time
        CHECK (status NOT IN ('presented', 'approved', 'declined') OR presented_at IS NOT NULL),
    CONSTRAINT change_order_approved_after_presentation CHECK (approved_at >= presented_at)
);

COMMENT ON TABLE hs.change_order IS
    'A change of scope, price or date found during the work; once approved it stays as it is.';
COMMENT ON COLUMN hs.change_order.price_delta_amount IS
    'What the customer pays more, or less where it is negative.';

-- FK: the changes of a job.
CREATE INDEX change_order_work_order_idx ON hs.change_order (business_id, work_order_id);

-- FK: the changes of a project; also sums what was approved.
CREATE INDEX change_order_project_idx
    ON hs.change_order (business_id, project_id, status)
    WHERE project_id IS NOT NULL;

-- FK: who wrote it.
CREATE INDEX change_order_author_idx
    ON hs.change_order (business_id, created_by_user_account_id)
    WHERE created_by_user_account_id IS NOT NULL;

ALTER TABLE hs.change_order ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.change_order
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.change_order TO app_user;
GRANT SELECT ON hs.change_order TO app_readonly;

CREATE TRIGGER change_order_touch
    BEFORE UPDATE ON hs.change_order
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER change_order_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.change_order
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "presented"],
        "transitions": {
            "draft":     ["presented", "void"],
            "presented": ["approved", "declined", "draft", "void"],
            "declined":  ["draft", "void"],
            "approved":  [],
            "void":      []
        }}');

CREATE FUNCTION hs.keep_approved_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'change order % is approved: % refused', OLD.change_order_number, lower(TG_OP)
        USING ERRCODE = 'restrict_violation',
              HINT = 'Write another change order.';
END
$$;
COMMENT ON FUNCTION hs.keep_approved_change() IS
    'What the customer agreed to stays as it was shown.';

CREATE TRIGGER change_order_approved_stays
    BEFORE UPDATE OR DELETE ON hs.change_order
    FOR EACH ROW WHEN (OLD.status = 'approved')
    EXECUTE FUNCTION hs.keep_approved_change();

CREATE FUNCTION hs.require_own_project() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    stray record;
BEGIN
    SELECT c.change_order_number INTO stray
    FROM changed AS c
    JOIN hs.work_order AS w
        ON w.business_id = c.business_id AND w.work_order_id = c.work_order_id
    WHERE c.project_id <> w.project_id
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'change order % is of another project than its work order',
                        stray.change_order_number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_own_project() IS
    'A change counts for the project that its job belongs to.';

CREATE TRIGGER change_order_own_project_insert
    AFTER INSERT ON hs.change_order
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_own_project();

CREATE TRIGGER change_order_own_project_update
    AFTER UPDATE ON hs.change_order
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_own_project();

ALTER TABLE hs.work_order_line
    ADD FOREIGN KEY (business_id, change_order_id)
        REFERENCES hs.change_order (business_id, change_order_id);


CREATE TABLE hs.permit (
    business_id         uuid              NOT NULL,
    permit_id           uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    service_location_id uuid              NOT NULL,
    work_order_id       uuid,
    project_id          uuid,
    permit_number       text,
    authority_name      text              NOT NULL,
    permit_kind         text              NOT NULL,
    status              text              NOT NULL DEFAULT 'not_applied',
    fee_amount          system_core.money NOT NULL DEFAULT 0,
    valuation_amount    system_core.money NOT NULL DEFAULT 0,
    portal_url          system_core.url,
    applied_on          date,
    issued_on           date,
    expires_on          date,
    finaled_on          date,
    created_at          timestamptz       NOT NULL DEFAULT now(),
    updated_at          timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, permit_id),
    UNIQUE (business_id, authority_name, permit_number),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, project_id) REFERENCES hs.project (business_id, project_id),
    CONSTRAINT permit_kind_known
        CHECK (permit_kind IN ('mechanical', 'plumbing', 'electrical', 'building', 'gas',
                               'demolition')),
    CONSTRAINT permit_status_known
        CHECK (status IN ('not_applied', 'applied', 'issued', 'inspection_due', 'finaled',
                          'expired', 'rejected')),
    CONSTRAINT permit_is_for_something CHECK (num_nonnulls(work_order_id, project_id) >= 1),
    CONSTRAINT permit_issued_after_application CHECK (issued_on >= applied_on),
    CONSTRAINT permit_finaled_after_issue CHECK (finaled_on >= issued_on),
    CONSTRAINT permit_expires_after_issue CHECK (expires_on >= issued_on),
    CONSTRAINT permit_applied_has_day CHECK (status = 'not_applied' OR applied_on IS NOT NULL),
    CONSTRAINT permit_issued_is_numbered
        CHECK (status NOT IN ('issued', 'inspection_due', 'finaled', 'expired')
               OR (permit_number IS NOT NULL AND issued_on IS NOT NULL)),
    CONSTRAINT permit_finaled_has_day CHECK ((status = 'finaled') = (finaled_on IS NOT NULL)),
    CONSTRAINT permit_amounts_not_negative CHECK (fee_amount >= 0 AND valuation_amount >= 0)
);

COMMENT ON TABLE hs.permit IS
    'What the municipality asks for before or after the work, from application to final.';
COMMENT ON COLUMN hs.permit.valuation_amount IS
    'The value of the work as declared; the fee follows from it.';

-- FK: the permits of a place.
CREATE INDEX permit_location_idx ON hs.permit (business_id, service_location_id);

-- FK: the permits of a job.
CREATE INDEX permit_work_order_idx
    ON hs.permit (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: the permits of a project.
CREATE INDEX permit_project_idx
    ON hs.permit (business_id, project_id)
    WHERE project_id IS NOT NULL;

-- The watch for what expires next.
CREATE INDEX permit_expiry_idx
    ON hs.permit (business_id, expires_on)
    WHERE status IN ('issued', 'inspection_due');

ALTER TABLE hs.permit ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.permit
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.permit TO app_user;
GRANT SELECT ON hs.permit TO app_readonly;

CREATE TRIGGER permit_touch
    BEFORE UPDATE ON hs.permit
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER permit_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.permit
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["not_applied", "applied"],
        "transitions": {
            "not_applied":    ["applied"],
            "applied":        ["issued", "rejected"],
            "rejected":       ["applied"],
            "issued":         ["inspection_due", "finaled", "expired"],
            "inspection_due": ["issued", "finaled", "expired"],
            "expired":        ["applied"],
            "finaled":        []
        }}');

ALTER TABLE hs.work_order_hold
    ADD FOREIGN KEY (business_id, permit_id) REFERENCES hs.permit (business_id, permit_id);


CREATE TABLE hs.subcontractor (
    business_id             uuid                    NOT NULL,
    subcontractor_id        uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    vendor_id               uuid,
    company_name            text                    NOT NULL,
    trade                   text                    NOT NULL,
    status                  text                    NOT NULL DEFAULT 'pending',
    contact_name            system_core.person_name NOT NULL,
    phone                   system_core.phone,
    email                   system_core.email,
    license_number          text,
    license_expires_on      date,
    insurance_carrier       text,
    liability_policy_number text,
    liability_limit         system_core.money       NOT NULL DEFAULT 0,
    liability_expires_on    date,
    workers_comp_expires_on date,
    is_w9_received          boolean                 NOT NULL DEFAULT false,
    rating_score            system_core.score,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, subcontractor_id),
    UNIQUE (business_id, company_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, vendor_id) REFERENCES hs.vendor (business_id, vendor_id),
    CONSTRAINT subcontractor_trade_known
        CHECK (trade IN ('hvac', 'plumbing', 'electrical', 'excavation', 'drywall', 'roofing',
                         'insulation', 'concrete', 'cleaning')),
    CONSTRAINT subcontractor_status_known
        CHECK (status IN ('pending', 'approved', 'suspended', 'terminated')),
    CONSTRAINT subcontractor_approved_is_covered
        CHECK (status <> 'approved'
               OR num_nulls(license_expires_on, liability_expires_on,
                            workers_comp_expires_on) = 0),
    CONSTRAINT subcontractor_limit_not_negative CHECK (liability_limit >= 0),
    CONSTRAINT subcontractor_rating_bounded CHECK (rating_score BETWEEN 0 AND 5)
);

COMMENT ON TABLE hs.subcontractor IS
    'An outside firm that does a part of the work while its license and insurance are in date.';
COMMENT ON COLUMN hs.subcontractor.vendor_id IS 'Who it is in purchasing, where it sends bills.';

-- FK: the firm that a vendor is.
CREATE INDEX subcontractor_vendor_idx
    ON hs.subcontractor (business_id, vendor_id)
    WHERE vendor_id IS NOT NULL;

ALTER TABLE hs.subcontractor ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.subcontractor
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.subcontractor TO app_user;
GRANT SELECT ON hs.subcontractor TO app_readonly;

CREATE TRIGGER subcontractor_touch
    BEFORE UPDATE ON hs.subcontractor
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER subcontractor_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.subcontractor
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "approved"],
        "transitions": {
            "pending":    ["approved", "terminated"],
            "approved":   ["suspended", "terminated"],
            "suspended":  ["approved", "terminated"],
            "terminated": []
        }}');

CREATE FUNCTION hs.require_cover() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID)
       AND least(NEW.license_expires_on, NEW.liability_expires_on, NEW.workers_comp_expires_on)
           <= current_date THEN
        RAISE EXCEPTION '% cannot be approved: license or insurance is not in date',
                        NEW.company_name
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_cover() IS
    'Nobody is approved whose license, liability or workers'' compensation has ended. Who was
     approved and lapses since is suspended by hs.suspend_lapsed_subcontractors.';

CREATE TRIGGER subcontractor_cover
    BEFORE INSERT OR UPDATE OF status, license_expires_on, liability_expires_on,
        workers_comp_expires_on ON hs.subcontractor
    FOR EACH ROW WHEN (NEW.status = 'approved')
    EXECUTE FUNCTION hs.require_cover();

CREATE FUNCTION hs.suspend_lapsed_subcontractors(on_day date DEFAULT current_date)
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    suspended integer;
BEGIN
    UPDATE hs.subcontractor AS s
    SET status = 'suspended'
    WHERE s.business_id = tenant_mgmt.current_business_id() AND s.status = 'approved'
      AND least(s.license_expires_on, s.liability_expires_on, s.workers_comp_expires_on)
          <= on_day;
    GET DIAGNOSTICS suspended = ROW_COUNT;
    RETURN suspended;
END
$$;
COMMENT ON FUNCTION hs.suspend_lapsed_subcontractors(date) IS
    'Suspends the tenant''s subcontractors whose license or insurance has ended by the day; once a
     day. Returns how many.';


CREATE VIEW hs.v_project_value
    WITH (security_invoker = true) AS
SELECT p.business_id, p.project_id, p.project_number, p.name, p.status, p.complete_pct,
       p.contract_amount, changes.price AS approved_change_amount,
       p.contract_amount + changes.price AS current_amount,
       p.billed_to_date_amount,
       round((p.contract_amount + changes.price) * p.complete_pct / 100, 2) AS earned_amount,
       round((p.contract_amount + changes.price) * p.complete_pct / 100, 2)
           - p.billed_to_date_amount AS underbilled_amount,
       p.cost_budget + changes.cost AS current_cost_budget, jobs.cost AS actual_cost_amount,
       p.target_completion_on + changes.days AS current_target_on, jobs.open_job_count
FROM hs.project AS p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(c.price_delta_amount), 0) AS price,
           coalesce(sum(c.cost_delta_amount), 0) AS cost,
           coalesce(sum(c.schedule_delta_days), 0)::integer AS days
    FROM hs.change_order AS c
    WHERE c.business_id = p.business_id AND c.project_id = p.project_id
      AND c.status = 'approved'
) AS changes
CROSS JOIN LATERAL (
    SELECT coalesce(sum(w.actual_cost_amount), 0) AS cost,
           count(*) FILTER (WHERE w.status NOT IN ('closed', 'cancelled')) AS open_job_count
    FROM hs.work_order AS w
    WHERE w.business_id = p.business_id AND w.project_id = p.project_id
) AS jobs
WHERE p.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_project_value IS
    'What a project is worth with its approved changes, what is earned of it by progress and what
     of that is not billed (negative: billed ahead), and what its jobs cost so far.';
GRANT SELECT ON hs.v_project_value TO app_user, app_readonly;
