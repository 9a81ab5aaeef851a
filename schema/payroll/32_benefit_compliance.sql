/*
 * Benefit accounts and compliance: money beside the premiums, and what the government is told.
 *
 * A beneficiary_designation says who receives life or retirement money; the shares of a rank make
 * a whole. A spending_account is the HSA, FSA or commuter account of a plan year. A carrier_feed
 * is what a carrier was sent, with what it rejected. An aca_employee_month holds the codes of
 * lines 14 to 16 of Form 1095-C, which build_aca_months() reads from the rows; a cobra_case is the
 * continuation of coverage that the end of work, of a marriage or of childhood brings.
 *
 * No law is written into this code: limits stand in the plan, the share of income that coverage
 * may cost is a parameter whose default names its year.
 */

CREATE TABLE payroll.beneficiary_designation (
    business_id                uuid                   NOT NULL,
    beneficiary_designation_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                uuid                   NOT NULL,
    benefit_plan_id            uuid                   NOT NULL,
    dependent_id               uuid,
    beneficiary_name           text                   NOT NULL,
    relationship               text                   NOT NULL,
    designation                text                   NOT NULL DEFAULT 'primary',
    share_pct                  system_core.percentage NOT NULL,
    date_of_birth              date,
    is_trust                   boolean                NOT NULL DEFAULT false,
    spousal_consent_on         date,
    effective_from             date                   NOT NULL,
    superseded_at              timestamptz,
    created_at                 timestamptz            NOT NULL DEFAULT now(),
    updated_at                 timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, beneficiary_designation_id),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    FOREIGN KEY (business_id, dependent_id)
        REFERENCES payroll.dependent (business_id, dependent_id),
    CONSTRAINT beneficiary_designation_rank_known
        CHECK (designation IN ('primary', 'contingent')),
    CONSTRAINT beneficiary_designation_share_bounded CHECK (share_pct > 0 AND share_pct <= 100),
    CONSTRAINT beneficiary_designation_names_somebody CHECK (beneficiary_name ~ '\S'),
    CONSTRAINT beneficiary_designation_trust_is_not_born
        CHECK (NOT is_trust OR (date_of_birth IS NULL AND dependent_id IS NULL))
);

COMMENT ON TABLE payroll.beneficiary_designation IS
    'Who receives life or retirement money and in which share.';
COMMENT ON COLUMN payroll.beneficiary_designation.spousal_consent_on IS
    'When the spouse agreed, before a witness, that somebody else comes first.';
COMMENT ON COLUMN payroll.beneficiary_designation.superseded_at IS
    'When a later designation took its place; NULL: it stands.';

-- FK: whom somebody named for a plan.
CREATE INDEX beneficiary_designation_employee_idx
    ON payroll.beneficiary_designation (business_id, employee_id, benefit_plan_id);

-- FK: the designations of a plan.
CREATE INDEX beneficiary_designation_benefit_plan_idx
    ON payroll.beneficiary_designation (business_id, benefit_plan_id);

-- FK: where a dependent is named.
CREATE INDEX beneficiary_designation_dependent_idx
    ON payroll.beneficiary_designation (business_id, dependent_id)
    WHERE dependent_id IS NOT NULL;

ALTER TABLE payroll.beneficiary_designation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.beneficiary_designation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.beneficiary_designation TO app_user;
GRANT SELECT ON payroll.beneficiary_designation TO app_readonly;

CREATE TRIGGER beneficiary_designation_touch
    BEFORE UPDATE ON payroll.beneficiary_designation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.check_beneficiaries() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := coalesce(NEW.business_id, OLD.business_id);
    named  record;
    odd    record;
BEGIN
    -- Where a row moves, the plan that it leaves is to be whole as well.
    FOR named IN
        SELECT DISTINCT x.employee_id, x.benefit_plan_id
        FROM (VALUES (NEW.employee_id, NEW.benefit_plan_id),
                     (OLD.employee_id, OLD.benefit_plan_id)) AS x (employee_id, benefit_plan_id)
        WHERE x.employee_id IS NOT NULL
        ORDER BY x.employee_id, x.benefit_plan_id
    LOOP
        -- Two who name at once wait for each other; each alone would make a whole.
        PERFORM FROM payroll.employee AS e
        WHERE e.business_id = tenant AND e.employee_id = named.employee_id
        FOR NO KEY UPDATE;
        SELECT b.designation, sum(b.share_pct) AS shares INTO odd
        FROM payroll.beneficiary_designation AS b
        WHERE b.business_id = tenant AND b.employee_id = named.employee_id
          AND b.benefit_plan_id = named.benefit_plan_id AND b.superseded_at IS NULL
        GROUP BY b.designation
        HAVING sum(b.share_pct) <> 100
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'the % shares make %, not 100', odd.designation, odd.shares
                USING ERRCODE = 'check_violation';
        END IF;
        IF EXISTS (
            SELECT
            FROM payroll.benefit_plan AS p
            JOIN payroll.dependent AS s
                ON s.business_id = p.business_id AND s.employee_id = named.employee_id
               AND s.relationship = 'spouse' AND s.ended_on IS NULL
            JOIN payroll.beneficiary_designation AS b
                ON b.business_id = p.business_id AND b.employee_id = named.employee_id
               AND b.benefit_plan_id = p.benefit_plan_id AND b.superseded_at IS NULL
               AND b.designation = 'primary' AND b.spousal_consent_on IS NULL
               AND b.dependent_id IS DISTINCT FROM s.dependent_id
            WHERE p.business_id = tenant AND p.benefit_plan_id = named.benefit_plan_id
              AND p.plan_kind = 'retirement_401k'
        ) THEN
            RAISE EXCEPTION 'the spouse comes first in a 401(k) unless they consented'
                USING ERRCODE = 'check_violation', HINT = 'Set spousal_consent_on.';
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.check_beneficiaries() IS
    'At the end of the transaction the standing shares of each rank make 100, and a 401(k) goes to
     the spouse who has not waived it (29 USC 1055(c)(2)).';

CREATE CONSTRAINT TRIGGER beneficiary_designation_is_whole
    AFTER INSERT OR UPDATE OR DELETE ON payroll.beneficiary_designation
    DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION payroll.check_beneficiaries();


CREATE TABLE payroll.spending_account (
    business_id                 uuid              NOT NULL,
    spending_account_id         uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                 uuid              NOT NULL,
    benefit_plan_id             uuid              NOT NULL,
    account_kind                text              NOT NULL,
    plan_year                   integer           NOT NULL,
    annual_election_amount      system_core.money NOT NULL DEFAULT 0,
    employee_contributed_amount system_core.money NOT NULL DEFAULT 0,
    employer_contributed_amount system_core.money NOT NULL DEFAULT 0,
    paid_out_amount             system_core.money NOT NULL DEFAULT 0,
    carryover_amount            system_core.money NOT NULL DEFAULT 0,
    grace_until                 date,
    runout_until                date,
    hdhp_confirmed              boolean           NOT NULL DEFAULT false,
    status                      text              NOT NULL DEFAULT 'open',
    created_at                  timestamptz       NOT NULL DEFAULT now(),
    updated_at                  timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, spending_account_id),
    UNIQUE (business_id, employee_id, account_kind, plan_year),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, benefit_plan_id)
        REFERENCES payroll.benefit_plan (business_id, benefit_plan_id),
    CONSTRAINT spending_account_kind_known
        CHECK (account_kind IN ('hsa', 'health_fsa', 'dependent_fsa', 'limited_fsa', 'commuter')),
    CONSTRAINT spending_account_status_known
        CHECK (status IN ('open', 'runout', 'forfeited', 'closed')),
    CONSTRAINT spending_account_amounts_not_negative
        CHECK (annual_election_amount >= 0 AND employee_contributed_amount >= 0
               AND employer_contributed_amount >= 0 AND paid_out_amount >= 0
               AND carryover_amount >= 0),
    CONSTRAINT spending_account_hsa_beside_high_deductible
        CHECK (account_kind <> 'hsa' OR hdhp_confirmed),
    CONSTRAINT spending_account_contributed_up_to_election
        CHECK (account_kind IN ('hsa', 'commuter')
               OR employee_contributed_amount <= annual_election_amount),
    -- A health FSA pays the whole year's election from the first day on; the others what is there.
    CONSTRAINT spending_account_pays_what_it_has
        CHECK (paid_out_amount <= carryover_amount
               + CASE WHEN account_kind IN ('health_fsa', 'limited_fsa')
                      THEN annual_election_amount + employer_contributed_amount
                      ELSE employee_contributed_amount + employer_contributed_amount END),
    CONSTRAINT spending_account_savings_are_not_forfeited
        CHECK (account_kind <> 'hsa' OR status IN ('open', 'closed')),
    CONSTRAINT spending_account_runout_after_grace CHECK (runout_until >= grace_until)
);

COMMENT ON TABLE payroll.spending_account IS 'HSA, FSA or commuter account of a plan year.';
COMMENT ON COLUMN payroll.spending_account.hdhp_confirmed IS
    'Coverage by a high-deductible plan, which an HSA asks for (26 USC 223(c)).';
COMMENT ON COLUMN payroll.spending_account.runout_until IS
    'Until when claims of the year are taken.';

-- FK: the accounts of a plan.
CREATE INDEX spending_account_benefit_plan_idx
    ON payroll.spending_account (business_id, benefit_plan_id);

ALTER TABLE payroll.spending_account ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.spending_account
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.spending_account TO app_user;
GRANT SELECT ON payroll.spending_account TO app_readonly;

CREATE TRIGGER spending_account_touch
    BEFORE UPDATE ON payroll.spending_account
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER spending_account_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.spending_account
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["open"],
        "transitions": {
            "open":      ["runout", "closed"],
            "runout":    ["forfeited", "closed"],
            "forfeited": [],
            "closed":    []
        }}');

CREATE FUNCTION payroll.check_account_limit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    plan payroll.benefit_plan;
BEGIN
    SELECT p.* INTO plan
    FROM payroll.benefit_plan AS p
    WHERE p.business_id = NEW.business_id AND p.benefit_plan_id = NEW.benefit_plan_id;
    IF plan.plan_kind <> (CASE NEW.account_kind WHEN 'limited_fsa' THEN 'health_fsa'
                                                ELSE NEW.account_kind END) THEN
        RAISE EXCEPTION 'plan % is no plan of this kind of account', plan.plan_code
            USING ERRCODE = 'check_violation';
    ELSIF NEW.plan_year <> extract(year FROM plan.plan_year_start) THEN
        RAISE EXCEPTION 'plan % is not of %', plan.plan_code, NEW.plan_year
            USING ERRCODE = 'check_violation';
    -- The employer's money counts in an HSA's limit (26 USC 223(b)(4)), in an FSA's it does not.
    ELSIF greatest(NEW.employee_contributed_amount
                   + CASE NEW.account_kind WHEN 'hsa' THEN NEW.employer_contributed_amount
                                           ELSE 0 END,
                   NEW.annual_election_amount) > plan.annual_limit_amount THEN
        RAISE EXCEPTION 'more than % a year is not allowed in %', plan.annual_limit_amount,
                        plan.plan_code
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION payroll.check_account_limit() IS
    'Nobody elects or puts in more than law allows in the plan year, which the plan states.';

CREATE TRIGGER spending_account_limit
    BEFORE INSERT OR UPDATE OF benefit_plan_id, account_kind, plan_year, annual_election_amount,
        employee_contributed_amount, employer_contributed_amount
    ON payroll.spending_account
    FOR EACH ROW EXECUTE FUNCTION payroll.check_account_limit();

CREATE FUNCTION payroll.reimburse(account uuid, claim_amount numeric) RETURNS numeric
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    had    payroll.spending_account;
    pays   numeric;
BEGIN
    SELECT a.* INTO had
    FROM payroll.spending_account AS a
    WHERE a.business_id = tenant AND a.spending_account_id = account
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such account' USING ERRCODE = 'no_data_found';
    ELSIF had.status NOT IN ('open', 'runout') OR claim_amount <= 0 THEN
        RAISE EXCEPTION 'nothing is paid out of an account that is %', had.status
            USING ERRCODE = 'check_violation';
    END IF;
    pays := least(claim_amount, had.carryover_amount - had.paid_out_amount
                                + had.employer_contributed_amount
                                + CASE WHEN had.account_kind IN ('health_fsa', 'limited_fsa')
                                       THEN had.annual_election_amount
                                       ELSE had.employee_contributed_amount END);
    UPDATE payroll.spending_account AS a
    SET paid_out_amount = a.paid_out_amount + pays
    WHERE a.business_id = tenant AND a.spending_account_id = account;
    RETURN pays;
END
$$;
COMMENT ON FUNCTION payroll.reimburse(uuid, numeric) IS
    'Pays a claim out of an account of the calling tenant, as far as there is money: of a health
     FSA the whole election from the first day on. How much it paid. Two claims at once wait for
     each other.';


CREATE TABLE payroll.carrier_feed (
    business_id        uuid        NOT NULL,
    carrier_feed_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    benefit_carrier_id uuid        NOT NULL,
    file_object_id     uuid,
    sent_at            timestamptz NOT NULL DEFAULT now(),
    feed_kind          text        NOT NULL DEFAULT 'changes',
    member_count       integer     NOT NULL DEFAULT 0,
    added_count        integer     NOT NULL DEFAULT 0,
    changed_count      integer     NOT NULL DEFAULT 0,
    terminated_count   integer     NOT NULL DEFAULT 0,
    rejected_count     integer     NOT NULL DEFAULT 0,
    acknowledgement    text        NOT NULL DEFAULT 'pending',
    errors system_core.json_array NOT NULL DEFAULT '[]',
    file_sha256 system_core.sha256,
    period_end         date        NOT NULL,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, carrier_feed_id),
    FOREIGN KEY (business_id, benefit_carrier_id)
        REFERENCES payroll.benefit_carrier (business_id, benefit_carrier_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT carrier_feed_kind_known CHECK (feed_kind IN ('full', 'changes', 'audit')),
    CONSTRAINT carrier_feed_acknowledgement_known
        CHECK (acknowledgement IN ('pending', 'accepted', 'partial', 'rejected')),
    CONSTRAINT carrier_feed_counts_not_negative
        CHECK (member_count >= 0 AND added_count >= 0 AND changed_count >= 0
               AND terminated_count >= 0),
    CONSTRAINT carrier_feed_changes_within_members
        CHECK (feed_kind <> 'changes'
               OR added_count + changed_count + terminated_count <= member_count),
    CONSTRAINT carrier_feed_rejects_at_most_all
        CHECK (rejected_count BETWEEN 0 AND member_count),
    CONSTRAINT carrier_feed_rejects_are_told
        CHECK (rejected_count = 0 OR jsonb_array_length(errors) > 0),
    CONSTRAINT carrier_feed_answer_fits_rejects
        CHECK (CASE acknowledgement WHEN 'accepted' THEN rejected_count = 0
                                    WHEN 'partial' THEN rejected_count > 0 ELSE true END)
);

COMMENT ON TABLE payroll.carrier_feed IS
    'File sent to a carrier with members, changes and errors.';
COMMENT ON COLUMN payroll.carrier_feed.member_count IS
    'Members in the file: of a full one everybody, of changes those that changed.';
COMMENT ON COLUMN payroll.carrier_feed.errors IS
    'What the carrier could not take: [{"member": "E1042", "code": "DOB", "message": "…"}].';

-- FK: the feeds of a carrier, the newest first.
CREATE INDEX carrier_feed_benefit_carrier_idx
    ON payroll.carrier_feed (business_id, benefit_carrier_id, sent_at DESC);

-- FK: the feed of a file.
CREATE INDEX carrier_feed_file_object_idx
    ON payroll.carrier_feed (business_id, file_object_id)
    WHERE file_object_id IS NOT NULL;

ALTER TABLE payroll.carrier_feed ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.carrier_feed
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.carrier_feed TO app_user;
GRANT SELECT ON payroll.carrier_feed TO app_readonly;

CREATE TRIGGER carrier_feed_touch
    BEFORE UPDATE ON payroll.carrier_feed
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER carrier_feed_state_machine
    BEFORE INSERT OR UPDATE OF acknowledgement ON payroll.carrier_feed
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('acknowledgement', '{
        "initial": ["pending"],
        "transitions": {
            "pending":  ["accepted", "partial", "rejected"],
            "partial":  ["accepted"],
            "accepted": [],
            "rejected": []
        }}');

CREATE FUNCTION payroll.feed_error_summary(feed uuid)
    RETURNS TABLE (code text, message text, member_count bigint, members text[])
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT j.code, min(j.message), count(DISTINCT j.member),
           array_agg(DISTINCT j.member ORDER BY j.member)
    FROM payroll.carrier_feed AS f
    CROSS JOIN JSON_TABLE(f.errors::jsonb, '$[*]' COLUMNS (
                   member  text PATH '$.member',
                   code    text PATH '$.code',
                   message text PATH '$.message')) AS j
    WHERE f.business_id = tenant_mgmt.current_business_id() AND f.carrier_feed_id = feed
    GROUP BY j.code
    ORDER BY count(DISTINCT j.member) DESC, j.code;
END;
COMMENT ON FUNCTION payroll.feed_error_summary(uuid) IS
    'What a carrier rejected of a feed of the calling tenant, by kind of error.';

CREATE FUNCTION payroll.carrier_changes(carrier uuid, since timestamptz)
    RETURNS TABLE (benefit_enrollment_id uuid, employee_id uuid, change text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.benefit_enrollment_id, e.employee_id,
           CASE WHEN e.status IN ('ended', 'cancelled') THEN 'terminate'
                WHEN e.created_at > since THEN 'add' ELSE 'change' END
    FROM payroll.benefit_plan AS p
    JOIN payroll.benefit_enrollment AS e
        ON e.business_id = p.business_id AND e.benefit_plan_id = p.benefit_plan_id
    WHERE p.business_id = tenant_mgmt.current_business_id() AND p.benefit_carrier_id = carrier
      AND e.election <> 'waived' AND e.status IN ('active', 'ended', 'cancelled')
      AND (e.updated_at > since OR EXISTS (
          SELECT
          FROM payroll.enrollment_dependent AS d
          WHERE d.business_id = e.business_id
            AND d.benefit_enrollment_id = e.benefit_enrollment_id AND d.updated_at > since))
      -- Who came and went between two feeds is none of the carrier's business.
      AND NOT (e.status = 'cancelled' AND e.created_at > since);
END;
COMMENT ON FUNCTION payroll.carrier_changes(uuid, timestamptz) IS
    'What a carrier of the calling tenant has to be told since its last feed.';

CREATE FUNCTION payroll.build_carrier_feed(
    carrier    uuid,
    kind       text,
    period_end date,
    moment     timestamptz DEFAULT now()
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    since  timestamptz;
    made   uuid;
BEGIN
    -- One feed of a carrier at a time: two would tell the same changes twice.
    PERFORM FROM payroll.benefit_carrier AS c
    WHERE c.business_id = tenant AND c.benefit_carrier_id = carrier AND c.status = 'active'
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such active carrier' USING ERRCODE = 'no_data_found';
    END IF;
    SELECT coalesce(max(f.sent_at), '-infinity') INTO since
    FROM payroll.carrier_feed AS f
    WHERE f.business_id = tenant AND f.benefit_carrier_id = carrier
      AND f.acknowledgement <> 'rejected' AND f.feed_kind <> 'audit';
    INSERT INTO payroll.carrier_feed
        (business_id, benefit_carrier_id, sent_at, feed_kind, member_count, added_count,
         changed_count, terminated_count, period_end)
    SELECT tenant, carrier, moment, kind,
           CASE kind WHEN 'changes' THEN c.added + c.changed + c.ended ELSE m.members END,
           c.added, c.changed, c.ended, build_carrier_feed.period_end
    FROM (
        SELECT count(*) FILTER (WHERE x.change = 'add') AS added,
               count(*) FILTER (WHERE x.change = 'change') AS changed,
               count(*) FILTER (WHERE x.change = 'terminate') AS ended
        FROM payroll.carrier_changes(carrier, since) AS x
    ) AS c
    CROSS JOIN (
        SELECT count(DISTINCT e.employee_id) AS members
        FROM payroll.benefit_plan AS p
        JOIN payroll.benefit_enrollment AS e
            ON e.business_id = p.business_id AND e.benefit_plan_id = p.benefit_plan_id
           AND e.status = 'active' AND e.election <> 'waived'
        WHERE p.business_id = tenant AND p.benefit_carrier_id = carrier
    ) AS m
    RETURNING carrier_feed_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION payroll.build_carrier_feed(uuid, text, date, timestamptz) IS
    'Notes a feed to a carrier of the calling tenant with what changed since the last one that it
     took.';

CREATE FUNCTION payroll.carriers_without_full_feed(moment timestamptz)
    RETURNS TABLE (benefit_carrier_id uuid, name text, last_full_at timestamptz)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT c.benefit_carrier_id, c.name, max(f.sent_at)
    FROM payroll.benefit_carrier AS c
    LEFT JOIN payroll.carrier_feed AS f
        ON f.business_id = c.business_id AND f.benefit_carrier_id = c.benefit_carrier_id
       AND f.feed_kind = 'full' AND f.acknowledgement <> 'rejected'
    WHERE c.business_id = tenant_mgmt.current_business_id() AND c.status = 'active'
    GROUP BY c.benefit_carrier_id, c.name
    HAVING coalesce(max(f.sent_at) < moment - interval '1 month', true);
END;
COMMENT ON FUNCTION payroll.carriers_without_full_feed(timestamptz) IS
    'The carriers of the calling tenant that have not been sent everybody for a month.';

CREATE VIEW payroll.v_carrier_feed_due WITH (security_invoker = true) AS
SELECT f.benefit_carrier_id, f.name, f.last_full_at
FROM payroll.carriers_without_full_feed(now()) AS f;
COMMENT ON VIEW payroll.v_carrier_feed_due IS
    'Carriers that wait for a full feed: changes alone drift, so everybody is sent monthly.';
GRANT SELECT ON payroll.v_carrier_feed_due TO app_user, app_readonly;


CREATE TABLE payroll.aca_employee_month (
    business_id                           uuid                 NOT NULL,
    aca_employee_month_id                 uuid                 NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id                           uuid                 NOT NULL,
    employer_entity_id                    uuid                 NOT NULL,
    benefit_enrollment_id                 uuid,
    tax_year                              integer              NOT NULL,
    month_no                              integer              NOT NULL,
    is_full_time                          boolean              NOT NULL DEFAULT false,
    hours_of_service                      system_core.quantity NOT NULL DEFAULT 0,
    offer_code                            text                 NOT NULL,
    employee_required_contribution_amount system_core.money,
    safe_harbor_code                      text,
    measurement_period                    text                 NOT NULL DEFAULT 'none',
    covered                               boolean              NOT NULL DEFAULT false,
    is_locked                             boolean              NOT NULL DEFAULT false,
    furnished_on                          date,
    created_at                            timestamptz          NOT NULL DEFAULT now(),
    updated_at                            timestamptz          NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, aca_employee_month_id),
    UNIQUE (business_id, employee_id, employer_entity_id, tax_year, month_no),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, employer_entity_id)
        REFERENCES payroll.employer_entity (business_id, employer_entity_id),
    FOREIGN KEY (business_id, benefit_enrollment_id)
        REFERENCES payroll.benefit_enrollment (business_id, benefit_enrollment_id),
    CONSTRAINT aca_employee_month_measurement_period_known
        CHECK (measurement_period IN ('initial', 'standard', 'administrative', 'stability',
                                      'none')),
    CONSTRAINT aca_employee_month_is_a_month CHECK (month_no BETWEEN 1 AND 12),
    CONSTRAINT aca_employee_month_since_the_act CHECK (tax_year BETWEEN 2015 AND 2100),
    CONSTRAINT aca_employee_month_offer_code_known CHECK (offer_code ~ '^1[A-HJ-U]$'),
    CONSTRAINT aca_employee_month_safe_harbor_code_known CHECK (safe_harbor_code ~ '^2[A-H]$'),
    -- In a stability period an earlier measurement decides, otherwise the hours of the month.
    CONSTRAINT aca_employee_month_full_time_is_130_hours
        CHECK (measurement_period <> 'none' OR is_full_time = (hours_of_service >= 130)),
    CONSTRAINT aca_employee_month_offer_has_price
        CHECK ((offer_code IN ('1A', '1F', '1G', '1H', '1R', '1S'))
               = (employee_required_contribution_amount IS NULL)),
    CONSTRAINT aca_employee_month_covered_by_an_offer
        CHECK (NOT covered OR offer_code <> '1H'),
    CONSTRAINT aca_employee_month_covered_is_2c
        CHECK ((safe_harbor_code = '2C') IS NOT DISTINCT FROM covered
               OR (safe_harbor_code IS NULL AND NOT covered)),
    CONSTRAINT aca_employee_month_furnished_is_locked CHECK (furnished_on IS NULL OR is_locked),
    CONSTRAINT aca_employee_month_hours_bounded CHECK (hours_of_service BETWEEN 0 AND 744)
);

COMMENT ON TABLE payroll.aca_employee_month IS
    'Offer, cost and safe harbor of an employee in a month (Form 1095-C lines 14 to 16).';
COMMENT ON COLUMN payroll.aca_employee_month.offer_code IS
    'Line 14: 1E coverage of minimum value for the whole family, 1H no offer, 1G not full time.';
COMMENT ON COLUMN payroll.aca_employee_month.employee_required_contribution_amount IS
    'Line 15: a month of the least expensive offer for the employee alone.';
COMMENT ON COLUMN payroll.aca_employee_month.safe_harbor_code IS
    'Line 16: 2A not employed, 2B not full time, 2C enrolled, 2D waiting, 2H affordable by rate.';

-- FK: the forms of an employer.
CREATE INDEX aca_employee_month_employer_entity_idx
    ON payroll.aca_employee_month (business_id, employer_entity_id, tax_year, month_no);

-- FK: the months that an enrollment covered.
CREATE INDEX aca_employee_month_benefit_enrollment_idx
    ON payroll.aca_employee_month (business_id, benefit_enrollment_id)
    WHERE benefit_enrollment_id IS NOT NULL;

ALTER TABLE payroll.aca_employee_month ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.aca_employee_month
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.aca_employee_month TO app_user;
GRANT SELECT ON payroll.aca_employee_month TO app_readonly;

CREATE TRIGGER aca_employee_month_touch
    BEFORE UPDATE ON payroll.aca_employee_month
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION payroll.refuse_change_of_locked_month() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'month % of % is locked', OLD.month_no, OLD.tax_year
        USING ERRCODE = 'restrict_violation', HINT = 'Furnish a corrected form.';
END
$$;
COMMENT ON FUNCTION payroll.refuse_change_of_locked_month() IS
    'What was furnished to the employee stays what it says.';

CREATE TRIGGER aca_employee_month_locked_stays
    BEFORE UPDATE ON payroll.aca_employee_month
    FOR EACH ROW WHEN (OLD.is_locked AND NEW.is_locked
                       AND (OLD.is_full_time, OLD.hours_of_service, OLD.offer_code,
                            OLD.employee_required_contribution_amount, OLD.safe_harbor_code,
                            OLD.covered)
                           IS DISTINCT FROM
                           (NEW.is_full_time, NEW.hours_of_service, NEW.offer_code,
                            NEW.employee_required_contribution_amount, NEW.safe_harbor_code,
                            NEW.covered))
    EXECUTE FUNCTION payroll.refuse_change_of_locked_month();

CREATE TRIGGER aca_employee_month_locked_not_deleted
    BEFORE DELETE ON payroll.aca_employee_month
    FOR EACH ROW WHEN (OLD.is_locked)
    EXECUTE FUNCTION payroll.refuse_change_of_locked_month();

CREATE FUNCTION payroll.aca_codes(
    employee              uuid,
    first_day             date,
    affordable_percent    numeric DEFAULT 9.96
) RETURNS TABLE (is_full_time boolean, hours_of_service numeric, offer_code text,
                 required_contribution numeric, safe_harbor_code text, covered boolean,
                 benefit_enrollment_id uuid)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH month AS (
        SELECT first_day AS starts_on, (first_day + interval '1 month')::date - 1 AS ends_on
    ), job AS (
        SELECT a.standard_hours_weekly, payroll.rate_on(a.job_assignment_id, m.ends_on) AS rate,
               s.hired_on, least(s.terminated_on, m.ends_on) AS last_day
        FROM month AS m
        JOIN payroll.employment_spell AS s
            ON s.business_id = tenant_mgmt.current_business_id() AND s.employee_id = employee
           AND daterange(s.hired_on, s.terminated_on, '[]')
               && daterange(m.starts_on, m.ends_on, '[]')
        LEFT JOIN payroll.job_assignment AS a
            ON a.business_id = s.business_id AND a.employee_id = s.employee_id AND a.is_primary
           AND daterange(a.effective_from, a.effective_until)
               && daterange(m.starts_on, m.ends_on, '[]')
        ORDER BY s.hired_on DESC, a.effective_from DESC
        LIMIT 1
    ), worked AS (
        SELECT sum(e.hours) AS hours
        FROM month AS m
        JOIN payroll.timesheet_entry AS e
            ON e.business_id = tenant_mgmt.current_business_id()
           AND e.work_date BETWEEN m.starts_on AND m.ends_on
        JOIN payroll.timesheet AS t
            ON t.business_id = e.business_id AND t.timesheet_id = e.timesheet_id
           AND t.employee_id = employee
    ), service AS (
        -- Without timesheets the usual hours of the days employed count.
        SELECT least(coalesce(w.hours, j.standard_hours_weekly
                              * (j.last_day - greatest(j.hired_on, m.starts_on) + 1) / 7, 0),
                     744) AS hours
        FROM month AS m
        CROSS JOIN worked AS w
        LEFT JOIN job AS j ON true
    ), offer AS (
        SELECT min(r.employee_share_amount) AS price,
               bool_or(payroll.eligible_from(employee, p.benefit_plan_id, j.last_day)
                       <= m.starts_on) AS is_open
        FROM month AS m
        JOIN job AS j ON true
        JOIN payroll.employee AS x
            ON x.business_id = tenant_mgmt.current_business_id() AND x.employee_id = employee
        JOIN payroll.benefit_plan AS p
            ON p.business_id = x.business_id AND p.employer_entity_id = x.employer_entity_id
           AND p.plan_kind = 'medical' AND p.minimum_value
           AND m.starts_on BETWEEN p.plan_year_start AND p.plan_year_end
        JOIN payroll.benefit_plan_rate AS r
            ON r.business_id = p.business_id AND r.benefit_plan_id = p.benefit_plan_id
           AND r.coverage_tier = 'employee' AND NOT r.tobacco_user
           AND daterange(r.effective_from, r.effective_until) @> m.starts_on
        -- An offer stands or falls with its eligibility; none means that nobody may join.
        WHERE payroll.eligible_from(employee, p.benefit_plan_id, j.last_day) IS NOT NULL
    ), member AS (
        SELECT e.benefit_enrollment_id
        FROM month AS m
        JOIN payroll.benefit_enrollment AS e
            ON e.business_id = tenant_mgmt.current_business_id() AND e.employee_id = employee
           AND e.plan_kind = 'medical' AND e.status IN ('active', 'ended')
           AND e.election <> 'waived'
           AND daterange(e.effective_from, e.effective_until) @> m.starts_on
        LIMIT 1
    )
    SELECT s.hours >= 130, round(s.hours, 4), c.line_14,
           CASE c.line_14 WHEN '1E' THEN coalesce(o.price, 0) END,
           CASE WHEN j.hired_on IS NULL THEN '2A'
                WHEN c.line_14 = '1E' AND b.benefit_enrollment_id IS NOT NULL THEN '2C'
                WHEN c.line_14 = '1H' AND s.hours < 130 THEN '2B'
                WHEN c.line_14 = '1H' AND o.is_open IS NOT NULL THEN '2D'
                WHEN c.line_14 = '1E'
                     AND o.price <= round(j.rate * 1.3 * affordable_percent, 2) THEN '2H' END,
           c.line_14 = '1E' AND b.benefit_enrollment_id IS NOT NULL,
           CASE c.line_14 WHEN '1E' THEN b.benefit_enrollment_id END
    FROM service AS s
    LEFT JOIN job AS j ON true
    LEFT JOIN offer AS o ON true
    LEFT JOIN member AS b ON true
    CROSS JOIN LATERAL (
        SELECT CASE WHEN j.hired_on IS NOT NULL
                         AND (o.is_open OR b.benefit_enrollment_id IS NOT NULL)
                    THEN '1E' ELSE '1H' END AS line_14
    ) AS c;
END;
COMMENT ON FUNCTION payroll.aca_codes(uuid, date, numeric) IS
    'Lines 14 to 16 of Form 1095-C for the month that begins on a day, from the work, the offers and
     the enrollments of an employee of the calling tenant. The percent is what coverage may cost of
     130 hours'' pay; 9.96 is that of 2026 (Rev. Proc. 2025-25).';

CREATE FUNCTION payroll.build_aca_months(
    employer           uuid,
    year               integer,
    through_month      integer DEFAULT 12,
    affordable_percent numeric DEFAULT 9.96
) RETURNS integer
    LANGUAGE sql
BEGIN ATOMIC
    WITH built AS (
        INSERT INTO payroll.aca_employee_month AS x
            (business_id, employee_id, employer_entity_id, benefit_enrollment_id, tax_year,
             month_no, is_full_time, hours_of_service, offer_code,
             employee_required_contribution_amount, safe_harbor_code, covered)
        SELECT e.business_id, e.employee_id, e.employer_entity_id, c.benefit_enrollment_id, year,
               m, c.is_full_time, c.hours_of_service, c.offer_code, c.required_contribution,
               c.safe_harbor_code, c.covered
        FROM payroll.employee AS e
        CROSS JOIN generate_series(1, through_month) AS m
        CROSS JOIN LATERAL payroll.aca_codes(e.employee_id, make_date(year, m, 1),
                                             affordable_percent) AS c
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND e.employer_entity_id = employer
          AND EXISTS (
              SELECT
              FROM payroll.employment_spell AS s
              WHERE s.business_id = e.business_id AND s.employee_id = e.employee_id
                AND daterange(s.hired_on, s.terminated_on, '[]')
                    && daterange(make_date(year, 1, 1), make_date(year, 12, 31), '[]'))
        ON CONFLICT (business_id, employee_id, employer_entity_id, tax_year, month_no) DO UPDATE
        SET benefit_enrollment_id = excluded.benefit_enrollment_id,
            is_full_time = excluded.is_full_time, hours_of_service = excluded.hours_of_service,
            offer_code = excluded.offer_code,
            employee_required_contribution_amount =
                excluded.employee_required_contribution_amount,
            safe_harbor_code = excluded.safe_harbor_code, covered = excluded.covered
        WHERE NOT x.is_locked
        RETURNING x.aca_employee_month_id
    )
    SELECT count(*)::integer FROM built;
END;
COMMENT ON FUNCTION payroll.build_aca_months(uuid, integer, integer, numeric) IS
    'Writes the months of a year for everybody whom an employer of the calling tenant employed in
     it, anew where they are not locked. How many.';


CREATE TABLE payroll.cobra_case (
    business_id           uuid                   NOT NULL,
    cobra_case_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    employee_id           uuid                   NOT NULL,
    dependent_id          uuid,
    benefit_enrollment_id uuid                   NOT NULL,
    employment_spell_id   uuid,
    event_kind            text                   NOT NULL,
    event_on              date                   NOT NULL,
    notice_due_on         date                   NOT NULL GENERATED ALWAYS AS (event_on + 44) STORED,
    notice_sent_on        date,
    election_deadline_on  date                   GENERATED ALWAYS AS (notice_sent_on + 60) STORED,
    elected_on            date,
    coverage_months       integer                NOT NULL DEFAULT 18,
    premium_amount        system_core.money      NOT NULL DEFAULT 0,
    admin_fee_pct         system_core.percentage NOT NULL DEFAULT 2,
    paid_through_on       date,
    status                text                   NOT NULL DEFAULT 'pending_notice',
    end_reason            text,
    created_at            timestamptz            NOT NULL DEFAULT now(),
    updated_at            timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, cobra_case_id),
    UNIQUE NULLS NOT DISTINCT (business_id, benefit_enrollment_id, dependent_id, event_on),
    FOREIGN KEY (business_id, employee_id) REFERENCES payroll.employee (business_id, employee_id),
    FOREIGN KEY (business_id, dependent_id)
        REFERENCES payroll.dependent (business_id, dependent_id),
    FOREIGN KEY (business_id, benefit_enrollment_id)
        REFERENCES payroll.benefit_enrollment (business_id, benefit_enrollment_id),
    FOREIGN KEY (business_id, employment_spell_id)
        REFERENCES payroll.employment_spell (business_id, employment_spell_id),
    CONSTRAINT cobra_case_event_kind_known
        CHECK (event_kind IN ('termination', 'reduced_hours', 'divorce', 'death', 'medicare',
                              'aged_out')),
    CONSTRAINT cobra_case_status_known
        CHECK (status IN ('pending_notice', 'offered', 'elected', 'declined', 'lapsed',
                          'ended')),
    CONSTRAINT cobra_case_months_known CHECK (coverage_months IN (18, 29, 36)),
    CONSTRAINT cobra_case_work_gives_18_months
        CHECK ((event_kind IN ('termination', 'reduced_hours')) = (coverage_months < 36)),
    CONSTRAINT cobra_case_fee_bounded
        CHECK (admin_fee_pct BETWEEN 0 AND CASE coverage_months WHEN 29 THEN 50 ELSE 2 END),
    CONSTRAINT cobra_case_premium_not_negative CHECK (premium_amount >= 0),
    CONSTRAINT cobra_case_notice_in_time
        CHECK (notice_sent_on BETWEEN event_on AND event_on + 44),
    CONSTRAINT cobra_case_elected_in_time
        CHECK (elected_on BETWEEN notice_sent_on AND notice_sent_on + 60),
    CONSTRAINT cobra_case_told_before_decided
        CHECK (status IN ('pending_notice', 'ended') OR notice_sent_on IS NOT NULL),
    CONSTRAINT cobra_case_elected_has_date CHECK (status <> 'elected' OR elected_on IS NOT NULL),
    CONSTRAINT cobra_case_paid_for_what_is_elected
        CHECK (paid_through_on IS NULL OR elected_on IS NOT NULL),
    CONSTRAINT cobra_case_ended_has_reason
        CHECK (status NOT IN ('lapsed', 'ended') OR coalesce(end_reason, '') ~ '\S'),
    CONSTRAINT cobra_case_children_and_spouses_are_named
        CHECK (event_kind NOT IN ('divorce', 'aged_out') OR dependent_id IS NOT NULL)
);

COMMENT ON TABLE payroll.cobra_case IS 'Continuation coverage after a qualifying event.';
COMMENT ON COLUMN payroll.cobra_case.notice_due_on IS
    'An employer that is the plan''s administrator has 44 days (29 CFR 2590.606-4(b)(2)).';
COMMENT ON COLUMN payroll.cobra_case.election_deadline_on IS '60 days from the notice.';
COMMENT ON COLUMN payroll.cobra_case.coverage_months IS
    '18 after work, 29 with a disability, 36 for those who lose it through somebody else.';
COMMENT ON COLUMN payroll.cobra_case.premium_amount IS 'A month, the fee included.';

-- FK: the cases of an employee.
CREATE INDEX cobra_case_employee_idx
    ON payroll.cobra_case (business_id, employee_id);

-- FK: the cases of a dependent.
CREATE INDEX cobra_case_dependent_idx
    ON payroll.cobra_case (business_id, dependent_id)
    WHERE dependent_id IS NOT NULL;

-- FK: the case of an end of employment.
CREATE INDEX cobra_case_employment_spell_idx
    ON payroll.cobra_case (business_id, employment_spell_id)
    WHERE employment_spell_id IS NOT NULL;

-- What has to be sent, the most urgent first.
CREATE INDEX cobra_case_notice_due_idx
    ON payroll.cobra_case (business_id, notice_due_on)
    WHERE status = 'pending_notice';

ALTER TABLE payroll.cobra_case ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON payroll.cobra_case
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON payroll.cobra_case TO app_user;
GRANT SELECT ON payroll.cobra_case TO app_readonly;

CREATE TRIGGER cobra_case_touch
    BEFORE UPDATE ON payroll.cobra_case
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();
CREATE TRIGGER cobra_case_state_machine
    BEFORE INSERT OR UPDATE OF status ON payroll.cobra_case
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending_notice"],
        "transitions": {
            "pending_notice": ["offered", "ended"],
            "offered":        ["elected", "declined", "lapsed"],
            "declined":       ["elected"],
            "elected":        ["lapsed", "ended"],
            "lapsed":         [],
            "ended":          []
        }}');

CREATE FUNCTION payroll.cobra_premium(
    enrollment  uuid,
    fee_percent numeric,
    alone       boolean DEFAULT false
) RETURNS numeric
    LANGUAGE sql STABLE
    RETURN (
        SELECT coalesce(round(coalesce(CASE WHEN alone THEN o.premium_amount END, r.premium_amount)
                              * (1 + fee_percent / 100), 2), 0)
        FROM payroll.benefit_enrollment AS e
        LEFT JOIN payroll.benefit_plan_rate AS r
            ON r.business_id = e.business_id
           AND r.benefit_plan_rate_id = e.benefit_plan_rate_id
        LEFT JOIN payroll.benefit_plan_rate AS o
            ON o.business_id = e.business_id AND o.benefit_plan_id = r.benefit_plan_id
           AND o.coverage_tier = 'employee' AND o.tobacco_user = r.tobacco_user
           AND o.age_from = r.age_from AND o.effective_from = r.effective_from
        WHERE e.business_id = tenant_mgmt.current_business_id()
          AND e.benefit_enrollment_id = enrollment);
COMMENT ON FUNCTION payroll.cobra_premium(uuid, numeric, boolean) IS
    'What continuing an enrollment of the calling tenant costs a month: both shares and the fee;
     for a spouse or child alone, those of one person.';

CREATE FUNCTION payroll.end_coverage(employee uuid, spell uuid, last_work date, kind text)
    RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    member record;
    gone   integer := 0;
BEGIN
    FOR member IN
        SELECT e.benefit_enrollment_id, e.plan_kind, e.election,
               CASE coalesce((SELECT r.ends
                              FROM payroll.eligibility_rule AS r
                              WHERE r.business_id = tenant
                                AND r.benefit_plan_id = e.benefit_plan_id
                              ORDER BY r.priority
                              LIMIT 1), 'end_of_month')
                   WHEN 'last_day_worked' THEN last_work + 1
                   ELSE (date_trunc('month', last_work) + interval '1 month')::date END AS until
        FROM payroll.benefit_enrollment AS e
        WHERE e.business_id = tenant AND e.employee_id = employee AND e.status = 'active'
        ORDER BY e.benefit_enrollment_id
        FOR NO KEY UPDATE
    LOOP
        UPDATE payroll.benefit_enrollment AS e
        SET status = CASE WHEN e.effective_from < member.until THEN 'ended' ELSE 'cancelled' END,
            effective_until = CASE WHEN e.effective_from < member.until THEN member.until END,
            end_reason = 'Employment ended'
        WHERE e.business_id = tenant AND e.benefit_enrollment_id = member.benefit_enrollment_id;
        gone := gone + 1;
        IF member.election <> 'waived'
           AND member.plan_kind IN ('medical', 'dental', 'vision', 'health_fsa') THEN
            INSERT INTO payroll.cobra_case
                (business_id, employee_id, benefit_enrollment_id, employment_spell_id,
                 event_kind, event_on, coverage_months, premium_amount)
            SELECT tenant, employee, member.benefit_enrollment_id, spell, kind, last_work,
                   CASE kind WHEN 'death' THEN 36 ELSE 18 END,
                   payroll.cobra_premium(member.benefit_enrollment_id, 2)
            FROM payroll.benefit_enrollment AS e
            WHERE e.business_id = tenant
              AND e.benefit_enrollment_id = member.benefit_enrollment_id
              AND e.status = 'ended'
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION payroll.end_coverage(uuid, uuid, date, text) IS
    'Ends what an employee of the calling tenant is enrolled in, on the last day of work or at the
     end of its month as each plan says, and opens a case for every health plan that may be
     continued. How many enrollments ended.';

CREATE FUNCTION payroll.follow_termination() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        PERFORM payroll.end_coverage(
            NEW.employee_id, NEW.employment_spell_id,
            coalesce(NEW.last_day_worked, NEW.terminated_on),
            CASE NEW.termination_kind WHEN 'death' THEN 'death' ELSE 'termination' END);
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_termination() IS
    'Who leaves loses coverage and may continue it.';

CREATE TRIGGER employment_spell_ends_coverage
    AFTER UPDATE OF terminated_on ON payroll.employment_spell
    FOR EACH ROW WHEN (OLD.terminated_on IS NULL AND NEW.terminated_on IS NOT NULL)
    EXECUTE FUNCTION payroll.follow_termination();

CREATE FUNCTION payroll.age_out_dependents(on_date date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    child  record;
    gone   integer := 0;
BEGIN
    FOR child IN
        SELECT x.enrollment_dependent_id, x.benefit_enrollment_id, d.dependent_id, d.employee_id,
               d.aged_out_on, e.plan_kind
        FROM payroll.dependent AS d
        JOIN payroll.enrollment_dependent AS x
            ON x.business_id = d.business_id AND x.dependent_id = d.dependent_id
           AND x.covered_until IS NULL
        JOIN payroll.benefit_enrollment AS e
            ON e.business_id = x.business_id
           AND e.benefit_enrollment_id = x.benefit_enrollment_id
        WHERE d.business_id = tenant AND d.aged_out_on < on_date
        ORDER BY x.enrollment_dependent_id
        FOR NO KEY UPDATE OF x
    LOOP
        UPDATE payroll.enrollment_dependent AS x
        SET covered_until = child.aged_out_on + 1, end_reason = 'aged_out',
            cobra_eligible = child.plan_kind IN ('medical', 'dental', 'vision')
        WHERE x.business_id = tenant
          AND x.enrollment_dependent_id = child.enrollment_dependent_id;
        IF child.plan_kind IN ('medical', 'dental', 'vision') THEN
            INSERT INTO payroll.cobra_case
                (business_id, employee_id, dependent_id, benefit_enrollment_id, event_kind,
                 event_on, coverage_months, premium_amount)
            VALUES
                (tenant, child.employee_id, child.dependent_id, child.benefit_enrollment_id,
                 'aged_out', child.aged_out_on, 36,
                 payroll.cobra_premium(child.benefit_enrollment_id, 2, true))
            ON CONFLICT DO NOTHING;
        END IF;
        gone := gone + 1;
    END LOOP;
    RETURN gone;
END
$$;
COMMENT ON FUNCTION payroll.age_out_dependents(date) IS
    'Ends the coverage of children of the calling tenant who turned 26 before the month of a date
     and opens a case for each health plan. How many coverages ended.';

CREATE FUNCTION payroll.follow_parting() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    member record;
    death  boolean;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    death := NEW.relationship NOT IN ('spouse', 'domestic_partner') OR EXISTS (
        SELECT
        FROM payroll.life_event AS v
        WHERE v.business_id = NEW.business_id AND v.employee_id = NEW.employee_id
          AND v.event_kind = 'death_of_dependent' AND v.event_on = NEW.ended_on);
    FOR member IN
        SELECT x.enrollment_dependent_id, x.benefit_enrollment_id, e.plan_kind
        FROM payroll.enrollment_dependent AS x
        JOIN payroll.benefit_enrollment AS e
            ON e.business_id = x.business_id
           AND e.benefit_enrollment_id = x.benefit_enrollment_id
        WHERE x.business_id = NEW.business_id AND x.dependent_id = NEW.dependent_id
          AND x.covered_until IS NULL
        ORDER BY x.enrollment_dependent_id
        FOR NO KEY UPDATE OF x
    LOOP
        UPDATE payroll.enrollment_dependent AS x
        SET covered_until = greatest(
                x.covered_from + 1,
                CASE WHEN death THEN NEW.ended_on + 1
                     ELSE (date_trunc('month', NEW.ended_on) + interval '1 month')::date END),
            end_reason = CASE WHEN death THEN 'death' ELSE 'divorce' END,
            cobra_eligible = NOT death AND NEW.relationship = 'spouse'
                             AND member.plan_kind IN ('medical', 'dental', 'vision')
        WHERE x.business_id = NEW.business_id
          AND x.enrollment_dependent_id = member.enrollment_dependent_id;
        IF NOT death AND NEW.relationship = 'spouse'
           AND member.plan_kind IN ('medical', 'dental', 'vision') THEN
            INSERT INTO payroll.cobra_case
                (business_id, employee_id, dependent_id, benefit_enrollment_id, event_kind,
                 event_on, coverage_months, premium_amount)
            VALUES
                (NEW.business_id, NEW.employee_id, NEW.dependent_id,
                 member.benefit_enrollment_id, 'divorce', NEW.ended_on, 36,
                 payroll.cobra_premium(member.benefit_enrollment_id, 2, true))
            ON CONFLICT DO NOTHING;
        END IF;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION payroll.follow_parting() IS
    'A divorce ends the coverage of the spouse with its month, and opens a case for every health
     plan; a death ends coverage with its day. A partner who is no spouse has no right to continue
     (26 USC 4980B(g)(1)).';

CREATE TRIGGER dependent_ends_coverage
    AFTER UPDATE OF ended_on ON payroll.dependent
    FOR EACH ROW WHEN (OLD.ended_on IS NULL AND NEW.ended_on IS NOT NULL)
    EXECUTE FUNCTION payroll.follow_parting();


CREATE VIEW payroll.v_benefit_census WITH (security_invoker = true) AS
SELECT e.business_id, p.benefit_plan_id, p.plan_code, p.name AS plan_name, p.plan_kind,
       p.plan_year_start, e.benefit_enrollment_id, m.employee_id, m.employee_number,
       m.first_name, m.last_name, e.election, e.coverage_tier, e.coverage_amount,
       e.contribution_percent, e.effective_from, e.effective_until, e.status,
       coalesce(d.dependents, 0) AS dependents, d.youngest_birth_date,
       e.employee_cost_per_period_amount, e.employer_cost_per_period_amount,
       r.premium_amount AS monthly_premium_amount
FROM payroll.benefit_enrollment AS e
JOIN payroll.benefit_plan AS p
    ON p.business_id = e.business_id AND p.benefit_plan_id = e.benefit_plan_id
JOIN payroll.employee AS m ON m.business_id = e.business_id AND m.employee_id = e.employee_id
LEFT JOIN payroll.benefit_plan_rate AS r
    ON r.business_id = e.business_id AND r.benefit_plan_rate_id = e.benefit_plan_rate_id
LEFT JOIN LATERAL (
    SELECT count(*) AS dependents, max(y.birth_date) AS youngest_birth_date
    FROM payroll.enrollment_dependent AS x
    JOIN payroll.dependent AS y
        ON y.business_id = x.business_id AND y.dependent_id = x.dependent_id
    WHERE x.business_id = e.business_id AND x.benefit_enrollment_id = e.benefit_enrollment_id
      AND x.covered_until IS NULL
) AS d ON true
WHERE e.status IN ('active', 'pending_proof');
COMMENT ON VIEW payroll.v_benefit_census IS
    'Employees, tiers, dependents and cost per plan: what a broker asks for a quote.';
GRANT SELECT ON payroll.v_benefit_census TO app_user, app_readonly;


CREATE FUNCTION payroll.benefit_differences()
    RETURNS TABLE (benefit_enrollment_id uuid, difference text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT e.benefit_enrollment_id,
           CASE WHEN d.employee_deduction_id IS NULL THEN 'not deducted'
                WHEN d.effective_until IS DISTINCT FROM e.effective_until
                THEN 'deducted until another day'
                ELSE 'another amount is deducted' END
    FROM payroll.benefit_enrollment AS e
    LEFT JOIN payroll.employee_deduction AS d
        ON d.business_id = e.business_id AND d.benefit_enrollment_id = e.benefit_enrollment_id
    WHERE e.business_id = tenant_mgmt.current_business_id()
      AND e.status = 'active' AND e.election <> 'waived'
      AND (e.employee_cost_per_period_amount > 0 OR e.contribution_percent > 0)
      AND (d.employee_deduction_id IS NULL
           OR d.effective_until IS DISTINCT FROM e.effective_until
           OR CASE WHEN e.contribution_percent IS NULL
                   THEN d.amount IS DISTINCT FROM e.employee_cost_per_period_amount
                   ELSE d.percent IS DISTINCT FROM e.contribution_percent END)
    UNION ALL
    SELECT d.benefit_enrollment_id, 'deducted though it ended'
    FROM payroll.employee_deduction AS d
    JOIN payroll.benefit_enrollment AS e
        ON e.business_id = d.business_id AND e.benefit_enrollment_id = d.benefit_enrollment_id
    WHERE d.business_id = tenant_mgmt.current_business_id()
      AND e.status = 'ended' AND coalesce(d.effective_until > e.effective_until, true);
END;
COMMENT ON FUNCTION payroll.benefit_differences() IS
    'Enrollments of the calling tenant whose deduction is not what was elected; none proves that
     the pay follows the elections.';
