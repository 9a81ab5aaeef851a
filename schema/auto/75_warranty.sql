/*
 * Warranty: who promised to pay for a repair, and the claims that collect on the promise.
 *
 * A warranty_program is a kind of promise (of the maker, of the law on emissions, of a contract
 * seller, of a parts maker, of the shop itself) with its claim rules: labor rate, markup on parts,
 * preauthorization, the window for filing and how long failed parts are kept. vehicle_coverage is
 * the promise in force on one vehicle, by date and odometer; the shop's own covers the work of one
 * earlier job.
 *
 * A warranty_claim asks the program to pay for one job. Its lines name the labor, part and sublet
 * lines of the job; one of the parts is the causal part, whose failure caused the rest, and is
 * kept for inspection. The payer approves a claim, reduces it, queries it or denies it with a code,
 * which can be appealed; its money arrives as a claim_payment (80_collision.sql).
 *
 *     draft > preauthorized > submitted > approved | partly_approved | denied > paid
 *
 * claimed_amount and approved_amount of a claim are the sums of its lines, kept by trigger.
 */

CREATE TABLE auto.warranty_program (
    business_id               uuid                    NOT NULL,
    warranty_program_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    payer_customer_id         uuid,
    supplier_id               uuid,
    program_code              system_core.code        NOT NULL,
    name                      text                    NOT NULL,
    program_kind              text                    NOT NULL,
    labor_rate_amount         system_core.money       NOT NULL DEFAULT 0,
    parts_markup_pct          system_core.percentage  NOT NULL DEFAULT 0,
    requires_preauthorization boolean                 NOT NULL DEFAULT false,
    max_claim_amount          system_core.money,
    filing_window_days        integer,
    part_retention_days       integer                 NOT NULL DEFAULT 0,
    term_months               integer,
    term_distance             integer,
    deductible_amount         system_core.money       NOT NULL DEFAULT 0,
    terms_document            system_core.json_object,
    is_active                 boolean                 NOT NULL DEFAULT true,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    updated_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, warranty_program_id),
    UNIQUE (business_id, program_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, payer_customer_id)
        REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, supplier_id) REFERENCES auto.supplier (business_id, supplier_id),
    CONSTRAINT warranty_program_named CHECK (name ~ '\S'),
    CONSTRAINT warranty_program_kind_known
        CHECK (program_kind IN ('oem_basic', 'oem_powertrain', 'oem_hybrid_ev',
                                'emissions_federal', 'extended_contract', 'parts_maker',
                                'shop_labor', 'goodwill')),
    CONSTRAINT warranty_program_rates_not_negative
        CHECK (labor_rate_amount >= 0 AND parts_markup_pct >= 0 AND deductible_amount >= 0),
    CONSTRAINT warranty_program_cap_positive CHECK (max_claim_amount > 0),
    CONSTRAINT warranty_program_filing_window_positive CHECK (filing_window_days > 0),
    CONSTRAINT warranty_program_retention_not_negative CHECK (part_retention_days >= 0),
    CONSTRAINT warranty_program_term_positive CHECK (term_months > 0 AND term_distance > 0),
    CONSTRAINT warranty_program_emissions_term
        CHECK (program_kind <> 'emissions_federal'
               OR (coalesce(term_months, 0) >= 96 AND coalesce(term_distance, 0) >= 80000)),
    CONSTRAINT warranty_program_shop_pays_itself
        CHECK (program_kind NOT IN ('shop_labor', 'goodwill') OR payer_customer_id IS NULL)
);

COMMENT ON TABLE auto.warranty_program IS
    'Manufacturer, extended-contract, parts-maker or shop warranty with its claim rules.';
COMMENT ON COLUMN auto.warranty_program.payer_customer_id IS
    'The account that its claims are billed to.';
COMMENT ON COLUMN auto.warranty_program.supplier_id IS 'Whose parts it covers.';
COMMENT ON COLUMN auto.warranty_program.filing_window_days IS
    'After the repair was completed, within which a claim is submitted; NULL: any time.';
COMMENT ON COLUMN auto.warranty_program.part_retention_days IS
    'How long a failed part is kept for the payer to inspect.';
COMMENT ON COLUMN auto.warranty_program.term_months IS
    'Of new coverage, or until term_distance is driven, whichever is first. Federal law covers
     major emission components for 96 months or 80000 miles at least.';
COMMENT ON COLUMN auto.warranty_program.terms_document IS
    '{"groups": [{"category": "engine", "covered": true}], "exclusions": ["belts"]}: see
     auto.warranty_covers().';

-- FK: the programs that an account pays.
CREATE INDEX warranty_program_payer_idx
    ON auto.warranty_program (business_id, payer_customer_id)
    WHERE payer_customer_id IS NOT NULL;

-- FK: the parts warranties of a supplier.
CREATE INDEX warranty_program_supplier_idx
    ON auto.warranty_program (business_id, supplier_id)
    WHERE supplier_id IS NOT NULL;

ALTER TABLE auto.warranty_program ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.warranty_program
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.warranty_program TO app_user;
GRANT SELECT ON auto.warranty_program TO app_readonly;

CREATE TRIGGER warranty_program_touch
    BEFORE UPDATE ON auto.warranty_program
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.warranty_covers(of_program uuid, of_part_type uuid) RETURNS boolean
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(bool_or(g.covered AND NOT e.excluded), false)
    FROM auto.warranty_program AS p
    JOIN auto.part_type AS t
        ON t.business_id = p.business_id AND t.part_type_id = of_part_type
    CROSS JOIN JSON_TABLE(
        p.terms_document, '$.groups[*]'
        COLUMNS (category text PATH '$.category',
                 covered boolean PATH '$.covered' DEFAULT true ON EMPTY)) AS g
    CROSS JOIN LATERAL (
        SELECT EXISTS (
            SELECT FROM JSON_TABLE(p.terms_document, '$.exclusions[*]'
                                   COLUMNS (name text PATH '$')) AS x
            WHERE lower(x.name) = lower(t.name)
        ) AS excluded
    ) AS e
    WHERE p.business_id = tenant_mgmt.current_business_id()
      AND p.warranty_program_id = of_program
      AND g.category = t.category;
END;
COMMENT ON FUNCTION auto.warranty_covers(uuid, uuid) IS
    'Whether a program of the current tenant pays for a type of part: its category is a covered
     group of the terms, and its name is not excluded.';


CREATE TABLE auto.vehicle_coverage (
    business_id                uuid              NOT NULL,
    vehicle_coverage_id        uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    granted_by_repair_job_id   uuid,
    vehicle_id                 uuid              NOT NULL,
    warranty_program_id        uuid              NOT NULL,
    customer_id                uuid,
    contract_number            text              NOT NULL,
    starts_on                  date              NOT NULL,
    ends_on                    date,
    starts_odometer            integer,
    ends_odometer              integer,
    covered_groups             text[]            NOT NULL DEFAULT '{}',
    excluded_text              text,
    deductible_amount          system_core.money NOT NULL DEFAULT 0,
    transferable               boolean           NOT NULL DEFAULT false,
    verified_at                timestamptz,
    verification_ref           text,
    status                     text              NOT NULL DEFAULT 'active',
    remaining_liability_amount system_core.money,
    created_at                 timestamptz       NOT NULL DEFAULT now(),
    updated_at                 timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, vehicle_coverage_id),
    UNIQUE (business_id, warranty_program_id, contract_number),
    FOREIGN KEY (business_id, granted_by_repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, warranty_program_id)
        REFERENCES auto.warranty_program (business_id, warranty_program_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    CONSTRAINT vehicle_coverage_numbered CHECK (contract_number ~ '\S'),
    CONSTRAINT vehicle_coverage_status_known
        CHECK (status IN ('active', 'expired', 'exhausted', 'cancelled', 'pending')),
    CONSTRAINT vehicle_coverage_ends_after_start CHECK (ends_on > starts_on),
    CONSTRAINT vehicle_coverage_odometer_rises CHECK (ends_odometer > starts_odometer),
    CONSTRAINT vehicle_coverage_odometer_not_negative CHECK (starts_odometer >= 0),
    CONSTRAINT vehicle_coverage_deductible_not_negative CHECK (deductible_amount >= 0),
    CONSTRAINT vehicle_coverage_liability_not_negative CHECK (remaining_liability_amount >= 0),
    CONSTRAINT vehicle_coverage_exhausted_has_nothing_left
        CHECK (status <> 'exhausted' OR coalesce(remaining_liability_amount, 0) = 0),
    CONSTRAINT vehicle_coverage_verified_has_time
        CHECK (verification_ref IS NULL OR verified_at IS NOT NULL)
);

COMMENT ON TABLE auto.vehicle_coverage IS
    'Warranty or service contract in force on a vehicle, by date and odometer.';
COMMENT ON COLUMN auto.vehicle_coverage.granted_by_repair_job_id IS
    'The job whose work the shop stands for; shop_labor coverage names it.';
COMMENT ON COLUMN auto.vehicle_coverage.covered_groups IS
    'Categories of parts; empty: as the terms of the program say.';
COMMENT ON COLUMN auto.vehicle_coverage.verified_at IS
    'When the payer confirmed it for this vehicle, under verification_ref.';
COMMENT ON COLUMN auto.vehicle_coverage.remaining_liability_amount IS
    'What the contract still pays; NULL: it has no limit.';

-- FK: the coverage that a job granted; one of a program.
CREATE UNIQUE INDEX vehicle_coverage_granted_by_job_idx
    ON auto.vehicle_coverage (business_id, granted_by_repair_job_id, warranty_program_id)
    WHERE granted_by_repair_job_id IS NOT NULL;

-- FK and vehicle page: what covers a vehicle, the longest first.
CREATE INDEX vehicle_coverage_vehicle_idx
    ON auto.vehicle_coverage (business_id, vehicle_id, ends_on DESC);

-- FK: the contracts of a customer.
CREATE INDEX vehicle_coverage_customer_idx
    ON auto.vehicle_coverage (business_id, customer_id)
    WHERE customer_id IS NOT NULL;

ALTER TABLE auto.vehicle_coverage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.vehicle_coverage
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.vehicle_coverage TO app_user;
GRANT SELECT ON auto.vehicle_coverage TO app_readonly;

CREATE TRIGGER vehicle_coverage_touch
    BEFORE UPDATE ON auto.vehicle_coverage
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER vehicle_coverage_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.vehicle_coverage
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "active"],
        "transitions": {
            "pending":   ["active", "cancelled"],
            "active":    ["expired", "exhausted", "cancelled"],
            "expired":   ["active"],
            "exhausted": ["active"],
            "cancelled": []
        }}');

CREATE FUNCTION auto.require_granting_job() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM auto.warranty_program AS p
        WHERE p.business_id = NEW.business_id
          AND p.warranty_program_id = NEW.warranty_program_id
          AND p.program_kind = 'shop_labor'
    ) THEN
        RAISE EXCEPTION 'coverage % of the shop''s own labor names no job', NEW.contract_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Set granted_by_repair_job_id to the job whose work it stands for.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_granting_job() IS
    'The shop warrants the work of a job, so shop_labor coverage says of which.';

CREATE TRIGGER vehicle_coverage_granting_job
    BEFORE INSERT OR UPDATE OF granted_by_repair_job_id, warranty_program_id
    ON auto.vehicle_coverage
    FOR EACH ROW WHEN (NEW.granted_by_repair_job_id IS NULL)
    EXECUTE FUNCTION auto.require_granting_job();


CREATE TABLE auto.warranty_claim (
    business_id          uuid              NOT NULL,
    warranty_claim_id    uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    submitted_by_user_id uuid,
    vehicle_coverage_id  uuid,
    warranty_program_id  uuid              NOT NULL,
    repair_job_id        uuid              NOT NULL,
    detected_dtc_id      uuid,
    claim_number         text              NOT NULL,
    claim_kind           text              NOT NULL,
    failure_on           date,
    failure_odometer     integer,
    authorization_number text,
    authorized_amount    system_core.money NOT NULL DEFAULT 0,
    submitted_at         timestamptz,
    status               text              NOT NULL DEFAULT 'draft',
    complaint_code       system_core.code,
    cause_code           system_core.code,
    claimed_amount       system_core.money NOT NULL DEFAULT 0,
    approved_amount      system_core.money NOT NULL DEFAULT 0,
    denial_code          system_core.code,
    decided_on           date,
    paid_on              date,
    created_at           timestamptz       NOT NULL DEFAULT now(),
    updated_at           timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, warranty_claim_id),
    UNIQUE (business_id, claim_number),
    FOREIGN KEY (business_id, submitted_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, vehicle_coverage_id)
        REFERENCES auto.vehicle_coverage (business_id, vehicle_coverage_id),
    FOREIGN KEY (business_id, warranty_program_id)
        REFERENCES auto.warranty_program (business_id, warranty_program_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, detected_dtc_id)
        REFERENCES auto.detected_dtc (business_id, detected_dtc_id),
    CONSTRAINT warranty_claim_kind_known
        CHECK (claim_kind IN ('failure', 'part_defect', 'goodwill', 'recall', 'transport',
                              'emissions', 'comeback')),
    CONSTRAINT warranty_claim_status_known
        CHECK (status IN ('draft', 'preauthorized', 'submitted', 'queried', 'approved',
                          'partly_approved', 'denied', 'paid', 'appealed')),
    CONSTRAINT warranty_claim_amounts_bounded
        CHECK (approved_amount BETWEEN 0 AND claimed_amount AND authorized_amount >= 0),
    CONSTRAINT warranty_claim_odometer_not_negative CHECK (failure_odometer >= 0),
    CONSTRAINT warranty_claim_submitted_has_time
        CHECK (status IN ('draft', 'preauthorized') OR submitted_at IS NOT NULL),
    CONSTRAINT warranty_claim_preauthorized_has_number
        CHECK (status <> 'preauthorized' OR authorization_number IS NOT NULL),
    CONSTRAINT warranty_claim_decided_has_day
        CHECK (status NOT IN ('approved', 'partly_approved', 'denied', 'paid')
               OR decided_on IS NOT NULL),
    CONSTRAINT warranty_claim_approved_is_whole
        CHECK (status <> 'approved' OR approved_amount = claimed_amount),
    CONSTRAINT warranty_claim_partly_approved_is_part
        CHECK (status <> 'partly_approved'
               OR (approved_amount > 0 AND approved_amount < claimed_amount)),
    CONSTRAINT warranty_claim_denied_pays_nothing
        CHECK (status <> 'denied' OR (denial_code IS NOT NULL AND approved_amount = 0)),
    CONSTRAINT warranty_claim_paid_has_day CHECK ((status = 'paid') = (paid_on IS NOT NULL)),
    CONSTRAINT warranty_claim_paid_after_decision CHECK (paid_on >= decided_on)
);

COMMENT ON TABLE auto.warranty_claim IS
    'Claim for one job against a program, from preauthorization to credit.';
COMMENT ON COLUMN auto.warranty_claim.detected_dtc_id IS 'The trouble code that proves the failure.';
COMMENT ON COLUMN auto.warranty_claim.claimed_amount IS 'Sum of its lines, kept by trigger.';
COMMENT ON COLUMN auto.warranty_claim.approved_amount IS
    'What of its lines the payer approved, kept by trigger.';

-- Claims desk and v_open_claims: what waits for the shop or the payer, oldest first.
CREATE INDEX warranty_claim_open_idx
    ON auto.warranty_claim (business_id, submitted_at) INCLUDE (status)
    WHERE status NOT IN ('paid', 'denied');

-- FK: the claims that an account submitted.
CREATE INDEX warranty_claim_submitter_idx
    ON auto.warranty_claim (business_id, submitted_by_user_id)
    WHERE submitted_by_user_id IS NOT NULL;

-- FK: the claims on a coverage.
CREATE INDEX warranty_claim_coverage_idx
    ON auto.warranty_claim (business_id, vehicle_coverage_id)
    WHERE vehicle_coverage_id IS NOT NULL;

-- FK and statement of a payer: the claims of a program, newest first.
CREATE INDEX warranty_claim_program_idx
    ON auto.warranty_claim (business_id, warranty_program_id, submitted_at DESC);

-- FK and issue_invoices(): the claims for a job.
CREATE INDEX warranty_claim_job_idx ON auto.warranty_claim (business_id, repair_job_id);

-- FK: the claims that a trouble code proves.
CREATE INDEX warranty_claim_dtc_idx
    ON auto.warranty_claim (business_id, detected_dtc_id)
    WHERE detected_dtc_id IS NOT NULL;

ALTER TABLE auto.warranty_claim ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.warranty_claim
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.warranty_claim TO app_user;
GRANT SELECT ON auto.warranty_claim TO app_readonly;

CREATE TRIGGER warranty_claim_touch
    BEFORE UPDATE ON auto.warranty_claim
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER warranty_claim_number
    BEFORE INSERT ON auto.warranty_claim
    FOR EACH ROW WHEN (NEW.claim_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'claim_number', 'warranty_claim', 'WC-', 'warranty_claim_id');

CREATE TRIGGER warranty_claim_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.warranty_claim
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "preauthorized"],
        "transitions": {
            "draft":           ["preauthorized", "submitted"],
            "preauthorized":   ["draft", "submitted"],
            "submitted":       ["queried", "approved", "partly_approved", "denied"],
            "queried":         ["submitted", "denied"],
            "approved":        ["paid"],
            "partly_approved": ["paid", "appealed"],
            "denied":          ["appealed"],
            "appealed":        ["approved", "partly_approved", "denied"],
            "paid":            []
        }}');

CREATE FUNCTION auto.require_claim_rules() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    program  auto.warranty_program;
    covered  auto.vehicle_coverage;
    repaired timestamptz;
    vehicle  uuid;
BEGIN
    SELECT p.* INTO program FROM auto.warranty_program AS p
    WHERE p.business_id = NEW.business_id AND p.warranty_program_id = NEW.warranty_program_id;
    SELECT coalesce(o.completed_at, o.closed_at), o.vehicle_id INTO repaired, vehicle
    FROM auto.repair_job AS j
    JOIN auto.repair_order AS o
        ON o.business_id = j.business_id AND o.repair_order_id = j.repair_order_id
    WHERE j.business_id = NEW.business_id AND j.repair_job_id = NEW.repair_job_id;
    SELECT c.* INTO covered FROM auto.vehicle_coverage AS c
    WHERE c.business_id = NEW.business_id AND c.vehicle_coverage_id = NEW.vehicle_coverage_id;

    IF covered.vehicle_id <> vehicle OR covered.warranty_program_id <> NEW.warranty_program_id THEN
        RAISE EXCEPTION 'claim %: coverage % is of another vehicle or program', NEW.claim_number,
                        covered.contract_number
            USING ERRCODE = 'check_violation',
                  HINT = 'Name a coverage of the vehicle that was repaired.';
    ELSIF NEW.submitted_at IS NULL THEN
        RETURN NEW;
    ELSIF NEW.submitted_at > repaired + make_interval(days => program.filing_window_days) THEN
        RAISE EXCEPTION 'claim % is too late: program % is filed within % days of the repair',
                        NEW.claim_number, program.program_code, program.filing_window_days
            USING ERRCODE = 'check_violation',
                  HINT = 'Ask the payer for an extension, or take the work as goodwill.';
    ELSIF program.requires_preauthorization AND NEW.authorization_number IS NULL THEN
        RAISE EXCEPTION 'claim %: program % authorizes before it is submitted to',
                        NEW.claim_number, program.program_code
            USING ERRCODE = 'check_violation', HINT = 'Set the authorization_number of the payer.';
    ELSIF NEW.claimed_amount > program.max_claim_amount THEN
        RAISE EXCEPTION 'claim % asks for % of program %, which pays % at most', NEW.claim_number,
                        NEW.claimed_amount, program.program_code, program.max_claim_amount
            USING ERRCODE = 'check_violation', HINT = 'Lower its lines; the customer pays the rest.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_claim_rules() IS
    'Holds a claim to the rules of its program: the coverage is of the vehicle, and what is
     submitted is in the filing window, authorized where that is demanded, and within the cap.';

CREATE TRIGGER warranty_claim_rules
    BEFORE INSERT OR UPDATE OF submitted_at, warranty_program_id, vehicle_coverage_id,
                               repair_job_id, authorization_number, claimed_amount
    ON auto.warranty_claim
    FOR EACH ROW WHEN (NEW.submitted_at IS NOT NULL OR NEW.vehicle_coverage_id IS NOT NULL)
    EXECUTE FUNCTION auto.require_claim_rules();

ALTER TABLE auto.supplier_return ADD FOREIGN KEY (business_id, warranty_claim_id)
    REFERENCES auto.warranty_claim (business_id, warranty_claim_id);


CREATE TABLE auto.warranty_claim_line (
    business_id            uuid                 NOT NULL,
    warranty_claim_line_id uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    warranty_claim_id      uuid                 NOT NULL,
    labor_line_id          uuid,
    part_line_id           uuid,
    sublet_line_id         uuid,
    line_no                integer              NOT NULL,
    line_kind              text                 NOT NULL,
    is_causal_part         boolean              NOT NULL DEFAULT false,
    operation_code         system_core.code,
    claimed_qty            system_core.quantity,
    claimed_amount         system_core.money    NOT NULL DEFAULT 0,
    approved_qty           system_core.quantity,
    approved_amount        system_core.money    NOT NULL DEFAULT 0,
    adjustment_code        system_core.code,
    part_retain_until_on   date,
    part_tag               text,
    part_disposition       text,
    created_at             timestamptz          NOT NULL DEFAULT now(),
    updated_at             timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, warranty_claim_line_id),
    UNIQUE (business_id, warranty_claim_id, line_no),
    FOREIGN KEY (business_id, warranty_claim_id)
        REFERENCES auto.warranty_claim (business_id, warranty_claim_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, labor_line_id)
        REFERENCES auto.labor_line (business_id, labor_line_id),
    FOREIGN KEY (business_id, part_line_id) REFERENCES auto.part_line (business_id, part_line_id),
    FOREIGN KEY (business_id, sublet_line_id)
        REFERENCES auto.sublet_line (business_id, sublet_line_id),
    CONSTRAINT warranty_claim_line_number_positive CHECK (line_no >= 1),
    CONSTRAINT warranty_claim_line_kind_known
        CHECK (line_kind IN ('labor', 'part', 'sublet', 'tax', 'transport')),
    CONSTRAINT warranty_claim_line_names_its_source
        CHECK (num_nonnulls(labor_line_id, part_line_id, sublet_line_id)
                   = CASE WHEN line_kind IN ('labor', 'part', 'sublet') THEN 1 ELSE 0 END
               AND (line_kind = 'labor') = (labor_line_id IS NOT NULL)
               AND (line_kind = 'part') = (part_line_id IS NOT NULL)
               AND (line_kind = 'sublet') = (sublet_line_id IS NOT NULL)),
    CONSTRAINT warranty_claim_line_causal_is_part
        CHECK (NOT is_causal_part OR line_kind = 'part'),
    CONSTRAINT warranty_claim_line_qty_bounded
        CHECK (claimed_qty > 0 AND approved_qty BETWEEN 0 AND claimed_qty),
    CONSTRAINT warranty_claim_line_amounts_bounded
        CHECK (approved_amount BETWEEN 0 AND claimed_amount),
    CONSTRAINT warranty_claim_line_disposition_known
        CHECK (part_disposition IN ('hold', 'shipped', 'scrapped', 'inspected')),
    CONSTRAINT warranty_claim_line_only_parts_are_kept
        CHECK (line_kind = 'part'
               OR num_nonnulls(part_retain_until_on, part_tag, part_disposition) = 0)
);

COMMENT ON TABLE auto.warranty_claim_line IS
    'Labor, part or sublet line of a warranty claim with approved figures.';
COMMENT ON COLUMN auto.warranty_claim_line.is_causal_part IS
    'The part whose failure caused the rest; one of a claim.';
COMMENT ON COLUMN auto.warranty_claim_line.adjustment_code IS 'Why the payer approved less.';
COMMENT ON COLUMN auto.warranty_claim_line.part_tag IS 'On the failed part in the warranty bin.';

-- One causal part of a claim.
CREATE UNIQUE INDEX warranty_claim_line_causal_idx
    ON auto.warranty_claim_line (business_id, warranty_claim_id)
    WHERE is_causal_part;

-- Warranty bin: failed parts on hold, by the day from which they may be scrapped.
CREATE INDEX warranty_claim_line_hold_idx
    ON auto.warranty_claim_line (business_id, part_retain_until_on)
    WHERE part_disposition = 'hold';

-- FK: where a labor line is claimed.
CREATE INDEX warranty_claim_line_labor_line_idx
    ON auto.warranty_claim_line (business_id, labor_line_id)
    WHERE labor_line_id IS NOT NULL;

-- FK: where a part line is claimed.
CREATE INDEX warranty_claim_line_part_line_idx
    ON auto.warranty_claim_line (business_id, part_line_id)
    WHERE part_line_id IS NOT NULL;

-- FK: where a sublet line is claimed.
CREATE INDEX warranty_claim_line_sublet_line_idx
    ON auto.warranty_claim_line (business_id, sublet_line_id)
    WHERE sublet_line_id IS NOT NULL;

ALTER TABLE auto.warranty_claim_line ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.warranty_claim_line
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.warranty_claim_line TO app_user;
GRANT SELECT ON auto.warranty_claim_line TO app_readonly;

CREATE TRIGGER warranty_claim_line_touch
    BEFORE UPDATE ON auto.warranty_claim_line
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION auto.total_warranty_claims() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    PERFORM FROM auto.warranty_claim AS w
    WHERE (w.business_id, w.warranty_claim_id)
          IN (SELECT c.business_id, c.warranty_claim_id FROM changed AS c)
    ORDER BY w.business_id, w.warranty_claim_id
    FOR NO KEY UPDATE;

    SELECT w.claim_number, c.line_no INTO wrong
    FROM changed AS c
    JOIN auto.warranty_claim AS w
        ON w.business_id = c.business_id AND w.warranty_claim_id = c.warranty_claim_id
    LEFT JOIN auto.labor_line AS l
        ON l.business_id = c.business_id AND l.labor_line_id = c.labor_line_id
    LEFT JOIN auto.part_line AS p
        ON p.business_id = c.business_id AND p.part_line_id = c.part_line_id
    LEFT JOIN auto.sublet_line AS s
        ON s.business_id = c.business_id AND s.sublet_line_id = c.sublet_line_id
    WHERE coalesce(l.repair_job_id, p.repair_job_id, s.repair_job_id) <> w.repair_job_id
    ORDER BY w.claim_number, c.line_no
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'line % of claim % is of another job', wrong.line_no, wrong.claim_number
            USING ERRCODE = 'check_violation', HINT = 'A claim is for one job; file another.';
    END IF;

    UPDATE auto.warranty_claim AS w
    SET claimed_amount = s.claimed, approved_amount = s.approved
    FROM (
        SELECT t.business_id, t.warranty_claim_id, coalesce(sum(l.claimed_amount), 0) AS claimed,
               coalesce(sum(l.approved_amount), 0) AS approved
        FROM (SELECT DISTINCT c.business_id, c.warranty_claim_id FROM changed AS c) AS t
        LEFT JOIN auto.warranty_claim_line AS l
            ON l.business_id = t.business_id AND l.warranty_claim_id = t.warranty_claim_id
        GROUP BY t.business_id, t.warranty_claim_id
    ) AS s
    WHERE w.business_id = s.business_id
      AND w.warranty_claim_id = s.warranty_claim_id
      AND (w.claimed_amount, w.approved_amount) IS DISTINCT FROM (s.claimed, s.approved);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION auto.total_warranty_claims() IS
    'Keeps the sums of the claims whose lines a statement touched; a line is of the claim''s job.';

CREATE TRIGGER warranty_claim_line_total_insert
    AFTER INSERT ON auto.warranty_claim_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_warranty_claims();

CREATE TRIGGER warranty_claim_line_total_update
    AFTER UPDATE ON auto.warranty_claim_line
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_warranty_claims();

CREATE TRIGGER warranty_claim_line_total_left
    AFTER UPDATE ON auto.warranty_claim_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_warranty_claims();

CREATE TRIGGER warranty_claim_line_total_delete
    AFTER DELETE ON auto.warranty_claim_line
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION auto.total_warranty_claims();
