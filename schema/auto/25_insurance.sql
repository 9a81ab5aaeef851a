/*
 * Insurance: the carriers that pay for collision, glass and weather damage, and their losses.
 *
 * An insurer may run a direct repair program (DRP): it sends work, and in exchange the shop keeps
 * its rules on aftermarket parts, its parts discount and its cycle time. Its labor rates stand in
 * labor_rate under its key.
 *
 * An insurance_claim is a loss that was assigned to a shop. It moves from the assignment over the
 * damage estimate and its supplements (80_collision.sql) to the settlement; repair orders and
 * invoices name the claim that pays for them. What may be done with a claim depends on its
 * estimates and remittances, so those guards stand beside them.
 */

CREATE TABLE auto.insurer (
    business_id               uuid                   NOT NULL,
    insurer_id                uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    insurer_code              system_core.code       NOT NULL,
    name                      text                   NOT NULL,
    naic_code                 system_core.code,
    is_drp                    boolean                NOT NULL DEFAULT false,
    drp_starts_on             date,
    drp_ends_on               date,
    aftermarket_parts_rule    text                   NOT NULL DEFAULT 'any',
    parts_discount_pct        system_core.percentage NOT NULL DEFAULT 0,
    cycle_time_target_days    integer,
    supplement_approval_hours numeric(10, 2),
    total_loss_threshold_pct  system_core.percentage,
    estimating_platform       text                   NOT NULL DEFAULT 'none',
    claims_phone              system_core.phone,
    payment_terms_days        integer                NOT NULL DEFAULT 30,
    is_active                 boolean                NOT NULL DEFAULT true,
    created_at                timestamptz            NOT NULL DEFAULT now(),
    updated_at                timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, insurer_id),
    UNIQUE (business_id, insurer_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT insurer_named CHECK (name ~ '\S'),
    CONSTRAINT insurer_naic_code_is_digits CHECK (naic_code ~ '^[0-9]{5}$'),
    CONSTRAINT insurer_aftermarket_parts_rule_known
        CHECK (aftermarket_parts_rule IN ('oem_only', 'certified_allowed', 'any')),
    CONSTRAINT insurer_estimating_platform_known
        CHECK (estimating_platform IN ('platform_a', 'platform_b', 'platform_c', 'none')),
    CONSTRAINT insurer_program_has_start CHECK (NOT is_drp OR drp_starts_on IS NOT NULL),
    CONSTRAINT insurer_program_ends_after_start CHECK (drp_ends_on > drp_starts_on),
    CONSTRAINT insurer_total_loss_threshold_bounded
        CHECK (total_loss_threshold_pct BETWEEN 50 AND 100),
    CONSTRAINT insurer_parts_discount_bounded CHECK (parts_discount_pct BETWEEN 0 AND 30),
    CONSTRAINT insurer_cycle_time_positive CHECK (cycle_time_target_days > 0),
    CONSTRAINT insurer_supplement_approval_positive CHECK (supplement_approval_hours > 0),
    CONSTRAINT insurer_payment_terms_bounded CHECK (payment_terms_days BETWEEN 0 AND 180)
);

COMMENT ON TABLE auto.insurer IS
    'Insurance carrier with its repair-program agreement and rate card.';
COMMENT ON COLUMN auto.insurer.naic_code IS
    'Company number of the National Association of Insurance Commissioners.';
COMMENT ON COLUMN auto.insurer.is_drp IS
    'Sends work under a direct repair program, whose rules the shop has agreed to.';
COMMENT ON COLUMN auto.insurer.parts_discount_pct IS 'Off the list price of parts, by agreement.';
COMMENT ON COLUMN auto.insurer.supplement_approval_hours IS
    'Within which it promises to decide a supplement; the next deadline of v_open_claims.';
COMMENT ON COLUMN auto.insurer.total_loss_threshold_pct IS
    'Share of the cash value from which on it calls a total loss; NULL: 75.';

ALTER TABLE auto.insurer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.insurer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.insurer TO app_user;
GRANT SELECT ON auto.insurer TO app_readonly;

CREATE TRIGGER insurer_touch
    BEFORE UPDATE ON auto.insurer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

ALTER TABLE auto.labor_rate ADD FOREIGN KEY (business_id, insurer_id)
    REFERENCES auto.insurer (business_id, insurer_id);


CREATE TABLE auto.insurance_claim (
    business_id         uuid                    NOT NULL,
    insurance_claim_id  uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    adjuster_contact_id uuid,
    insurer_id          uuid                    NOT NULL,
    customer_id         uuid                    NOT NULL,
    vehicle_id          uuid                    NOT NULL,
    shop_id             uuid                    NOT NULL,
    claim_number        text                    NOT NULL,
    policy_number       text,
    loss_kind           text                    NOT NULL,
    loss_at             timestamptz,
    reported_at         timestamptz,
    assigned_at         timestamptz             NOT NULL DEFAULT now(),
    point_of_impact     text                    NOT NULL DEFAULT 'unknown',
    is_drivable         boolean                 NOT NULL DEFAULT true,
    airbags_deployed    boolean                 NOT NULL DEFAULT false,
    deductible_amount   system_core.money       NOT NULL DEFAULT 0,
    rental_limit        system_core.money,
    status              text                    NOT NULL DEFAULT 'assigned',
    fault_party         text                    NOT NULL DEFAULT 'unknown',
    tow_storage_from_on date,
    assignment_document system_core.json_object,
    closed_at           timestamptz,
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, insurance_claim_id),
    UNIQUE (business_id, insurer_id, claim_number),
    FOREIGN KEY (business_id, adjuster_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    FOREIGN KEY (business_id, insurer_id) REFERENCES auto.insurer (business_id, insurer_id),
    FOREIGN KEY (business_id, customer_id) REFERENCES auto.customer (business_id, customer_id),
    FOREIGN KEY (business_id, vehicle_id) REFERENCES auto.vehicle (business_id, vehicle_id),
    FOREIGN KEY (business_id, shop_id) REFERENCES auto.shop (business_id, shop_id),
    CONSTRAINT insurance_claim_numbered CHECK (claim_number ~ '\S'),
    CONSTRAINT insurance_claim_loss_kind_known
        CHECK (loss_kind IN ('collision', 'comprehensive', 'glass', 'hail', 'theft', 'flood',
                             'animal', 'vandalism', 'liability')),
    CONSTRAINT insurance_claim_point_of_impact_known
        CHECK (point_of_impact IN ('front', 'front_left', 'front_right', 'left', 'right',
                                   'rear_left', 'rear', 'rear_right', 'roof', 'undercarriage',
                                   'rollover', 'all_over', 'interior', 'unknown')),
    CONSTRAINT insurance_claim_status_known
        CHECK (status IN ('assigned', 'estimating', 'estimate_submitted', 'approved',
                          'supplement_submitted', 'total_loss', 'settled', 'denied', 'withdrawn')),
    CONSTRAINT insurance_claim_fault_party_known
        CHECK (fault_party IN ('insured', 'third_party', 'shared', 'unknown')),
    CONSTRAINT insurance_claim_reported_after_loss CHECK (loss_at <= reported_at),
    CONSTRAINT insurance_claim_assigned_after_report CHECK (reported_at <= assigned_at),
    CONSTRAINT insurance_claim_assigned_after_loss CHECK (loss_at <= assigned_at),
    CONSTRAINT insurance_claim_closed_after_assignment CHECK (closed_at >= assigned_at),
    CONSTRAINT insurance_claim_ended_has_time
        CHECK ((status IN ('settled', 'denied', 'withdrawn')) = (closed_at IS NOT NULL)),
    CONSTRAINT insurance_claim_deductible_not_negative CHECK (deductible_amount >= 0),
    CONSTRAINT insurance_claim_rental_limit_not_negative CHECK (rental_limit >= 0),
    CONSTRAINT insurance_claim_airbags_stop_driving CHECK (NOT (airbags_deployed AND is_drivable))
);

COMMENT ON TABLE auto.insurance_claim IS
    'Collision, glass or comprehensive loss assigned to the shop.';
COMMENT ON COLUMN auto.insurance_claim.claim_number IS 'Of the insurer.';
COMMENT ON COLUMN auto.insurance_claim.deductible_amount IS
    'What the customer bears of it: taken off the bill of the insurer and put on the customer''s.';
COMMENT ON COLUMN auto.insurance_claim.tow_storage_from_on IS
    'From when on storage is charged for a vehicle that was towed in.';
COMMENT ON COLUMN auto.insurance_claim.assignment_document IS
    'The assignment message as received.';

-- Claims board and v_open_claims: what is open, oldest assignment first.
CREATE INDEX insurance_claim_open_idx
    ON auto.insurance_claim (business_id, assigned_at) INCLUDE (status)
    WHERE status NOT IN ('settled', 'denied', 'withdrawn');

-- FK: what a person adjusts.
CREATE INDEX insurance_claim_adjuster_idx
    ON auto.insurance_claim (business_id, adjuster_contact_id)
    WHERE adjuster_contact_id IS NOT NULL;

-- FK and customer page: the losses of a customer, newest first.
CREATE INDEX insurance_claim_customer_idx
    ON auto.insurance_claim (business_id, customer_id, assigned_at DESC);

-- FK and vehicle history: the losses of a vehicle, newest first.
CREATE INDEX insurance_claim_vehicle_idx
    ON auto.insurance_claim (business_id, vehicle_id, assigned_at DESC);

-- FK: the losses that were assigned to a shop.
CREATE INDEX insurance_claim_shop_idx
    ON auto.insurance_claim (business_id, shop_id, assigned_at DESC);

ALTER TABLE auto.insurance_claim ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.insurance_claim
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.insurance_claim TO app_user;
GRANT SELECT ON auto.insurance_claim TO app_readonly;

CREATE TRIGGER insurance_claim_touch
    BEFORE UPDATE ON auto.insurance_claim
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER insurance_claim_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.insurance_claim
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["assigned"],
        "transitions": {
            "assigned":             ["estimating", "withdrawn"],
            "estimating":           ["estimate_submitted", "total_loss", "withdrawn"],
            "estimate_submitted":   ["approved", "estimating", "total_loss", "denied",
                                     "withdrawn"],
            "approved":             ["supplement_submitted", "total_loss", "settled"],
            "supplement_submitted": ["approved", "total_loss"],
            "total_loss":           ["settled"],
            "settled":              [],
            "denied":               [],
            "withdrawn":            []
        }}');

CREATE FUNCTION auto.date_insurance_claim() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.closed_at := CASE WHEN NEW.status IN ('settled', 'denied', 'withdrawn')
                          THEN coalesce(NEW.closed_at, greatest(now(), NEW.assigned_at)) END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.date_insurance_claim() IS
    'Stamps when a claim was settled, denied or withdrawn.';

-- By its name it runs after insurance_claim_status_machine, which judges what was asked for.
CREATE TRIGGER insurance_claim_status_times
    BEFORE UPDATE OF status ON auto.insurance_claim
    FOR EACH ROW WHEN (NEW.status <> OLD.status)
    EXECUTE FUNCTION auto.date_insurance_claim();
