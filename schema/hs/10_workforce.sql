/*
 * Workforce: who can be sent, what they can do, and when.
 *
 * A technician is a field worker who is dispatched, paid and certified; crews are standing teams
 * with dated members. technician_skill and technician_certification decide which jobs somebody may
 * do, technician_territory where, technician_shift less technician_absence when.
 */

CREATE TABLE hs.technician (
    business_id              uuid                    NOT NULL,
    technician_id            uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    business_unit_id         uuid                    NOT NULL,
    branch_id                uuid                    NOT NULL,
    user_account_id          uuid,
    supervisor_technician_id uuid,
    employee_number          system_core.code        NOT NULL,
    full_name                system_core.person_name NOT NULL,
    mobile_phone             system_core.phone,
    employment_kind          text                    NOT NULL DEFAULT 'employee',
    trade_level              text                    NOT NULL DEFAULT 'journeyman',
    pay_basis                text                    NOT NULL DEFAULT 'hourly',
    hourly_pay_amount        system_core.money       NOT NULL DEFAULT 0,
    home_latitude            system_core.latitude,
    home_longitude           system_core.longitude,
    dispatch_status          text                    NOT NULL DEFAULT 'off_shift',
    daily_capacity_minutes   integer                 NOT NULL DEFAULT 480,
    average_rating_score     system_core.score,
    is_dispatchable          boolean                 NOT NULL DEFAULT true,
    hired_on                 date                    NOT NULL,
    terminated_on            date,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_id),
    UNIQUE (business_id, employee_number),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, supervisor_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT technician_employment_known
        CHECK (employment_kind IN ('employee', 'subcontractor', 'temp')),
    CONSTRAINT technician_trade_level_known
        CHECK (trade_level IN ('apprentice', 'journeyman', 'master', 'lead', 'sales')),
    CONSTRAINT technician_pay_basis_known
        CHECK (pay_basis IN ('hourly', 'salary', 'piece_rate', 'commission')),
    CONSTRAINT technician_dispatch_status_known
        CHECK (dispatch_status IN ('off_shift', 'available', 'en_route', 'on_job', 'on_break',
                                   'unreachable')),
    CONSTRAINT technician_supervised_by_another
        CHECK (supervisor_technician_id <> technician_id),
    CONSTRAINT technician_pay_not_negative CHECK (hourly_pay_amount >= 0),
    CONSTRAINT technician_capacity_bounded CHECK (daily_capacity_minutes BETWEEN 0 AND 960),
    CONSTRAINT technician_rating_bounded CHECK (average_rating_score BETWEEN 1 AND 5),
    CONSTRAINT technician_home_is_whole
        CHECK ((home_latitude IS NULL) = (home_longitude IS NULL)),
    CONSTRAINT technician_leaves_after_hiring CHECK (terminated_on >= hired_on),
    CONSTRAINT technician_gone_is_not_sent CHECK (terminated_on IS NULL OR NOT is_dispatchable)
);

COMMENT ON TABLE hs.technician IS 'A field worker who is dispatched, paid and certified.';
COMMENT ON COLUMN hs.technician.dispatch_status IS
    'What the technician does at this moment, as the mobile app tells.';
COMMENT ON COLUMN hs.technician.average_rating_score IS 'Stars of customers, 1 to 5.';
COMMENT ON COLUMN hs.technician.home_latitude IS
    'Where the day starts for those who start at home.';

-- An account is one technician.
CREATE UNIQUE INDEX technician_account_idx
    ON hs.technician (business_id, user_account_id)
    WHERE user_account_id IS NOT NULL;

-- FK and dispatch board: who of a branch can be sent.
CREATE INDEX technician_branch_idx
    ON hs.technician (business_id, branch_id, is_dispatchable);

-- FK: the technicians of a unit.
CREATE INDEX technician_unit_idx ON hs.technician (business_id, business_unit_id);

-- FK: whom a technician supervises.
CREATE INDEX technician_supervisor_idx
    ON hs.technician (business_id, supervisor_technician_id)
    WHERE supervisor_technician_id IS NOT NULL;

ALTER TABLE hs.technician ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.technician TO app_user;
GRANT SELECT ON hs.technician TO app_readonly;

CREATE TRIGGER technician_touch
    BEFORE UPDATE ON hs.technician
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.crew (
    business_id        uuid                  NOT NULL,
    crew_id            uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    business_unit_id   uuid                  NOT NULL,
    lead_technician_id uuid,
    crew_code          system_core.code      NOT NULL,
    name               text                  NOT NULL,
    crew_kind          text                  NOT NULL DEFAULT 'install',
    max_member_count   integer               NOT NULL DEFAULT 3,
    color_code         system_core.color_hex,
    is_active          boolean               NOT NULL DEFAULT true,
    starts_on          date                  NOT NULL,
    ends_on            date,
    created_at         timestamptz           NOT NULL DEFAULT now(),
    updated_at         timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, crew_id),
    UNIQUE (business_id, crew_code),
    FOREIGN KEY (business_id, business_unit_id)
        REFERENCES hs.business_unit (business_id, business_unit_id),
    FOREIGN KEY (business_id, lead_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT crew_kind_known
        CHECK (crew_kind IN ('install', 'service', 'maintenance', 'excavation')),
    CONSTRAINT crew_size_bounded CHECK (max_member_count BETWEEN 1 AND 20),
    CONSTRAINT crew_ends_after_start CHECK (ends_on >= starts_on)
);

COMMENT ON TABLE hs.crew IS 'A standing team that is sent together, mostly to install.';
COMMENT ON COLUMN hs.crew.color_code IS 'Its color on the dispatch board.';

-- FK: the crews of a unit.
CREATE INDEX crew_unit_idx ON hs.crew (business_id, business_unit_id);

-- FK: the crews that a technician leads.
CREATE INDEX crew_lead_idx
    ON hs.crew (business_id, lead_technician_id)
    WHERE lead_technician_id IS NOT NULL;

ALTER TABLE hs.crew ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.crew
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.crew TO app_user;
GRANT SELECT ON hs.crew TO app_readonly;

CREATE TRIGGER crew_touch
    BEFORE UPDATE ON hs.crew
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.crew_member (
    business_id    uuid                   NOT NULL,
    crew_member_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    crew_id        uuid                   NOT NULL,
    technician_id  uuid                   NOT NULL,
    crew_role      text                   NOT NULL DEFAULT 'installer',
    split_pct      system_core.percentage NOT NULL DEFAULT 0,
    is_driver      boolean                NOT NULL DEFAULT false,
    is_trainee     boolean                NOT NULL DEFAULT false,
    note_text      text,
    joined_on      date                   NOT NULL,
    left_on        date,
    created_at     timestamptz            NOT NULL DEFAULT now(),
    updated_at     timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, crew_member_id),
    FOREIGN KEY (business_id, crew_id) REFERENCES hs.crew (business_id, crew_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT crew_member_role_known
        CHECK (crew_role IN ('lead', 'installer', 'helper', 'apprentice')),
    CONSTRAINT crew_member_split_bounded CHECK (split_pct BETWEEN 0 AND 100),
    CONSTRAINT crew_member_leaves_after_joining CHECK (left_on > joined_on),
    CONSTRAINT crew_member_in_one_crew_at_a_time EXCLUDE USING gist (
        business_id WITH =, technician_id WITH =, daterange(joined_on, left_on) WITH &&)
);

COMMENT ON TABLE hs.crew_member IS
    'A technician in a crew for a time, with the usual share of what the crew earns.';
COMMENT ON COLUMN hs.crew_member.split_pct IS
    'Share of the crew''s job pay; those of the members of today sum to 100 at most.';
COMMENT ON COLUMN hs.crew_member.left_on IS 'First day out of the crew.';

-- FK: the members of a crew.
CREATE INDEX crew_member_crew_idx ON hs.crew_member (business_id, crew_id, left_on);

ALTER TABLE hs.crew_member ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.crew_member
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.crew_member TO app_user;
GRANT SELECT ON hs.crew_member TO app_readonly;

CREATE TRIGGER crew_member_touch
    BEFORE UPDATE ON hs.crew_member
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.bound_crew() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    broken record;
BEGIN
    SELECT c.name, c.max_member_count, m.members, m.split INTO broken
    FROM (SELECT DISTINCT t.business_id, t.crew_id FROM changed AS t) AS touched
    JOIN hs.crew AS c ON c.business_id = touched.business_id AND c.crew_id = touched.crew_id
    CROSS JOIN LATERAL (
        SELECT count(*) AS members, sum(x.split_pct) AS split
        FROM hs.crew_member AS x
        WHERE x.business_id = c.business_id AND x.crew_id = c.crew_id AND x.left_on IS NULL
    ) AS m
    WHERE m.members > c.max_member_count OR m.split > 100
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'crew % would have % members of % and pay out % %%', broken.name,
                        broken.members, broken.max_member_count, broken.split
            USING ERRCODE = 'check_violation',
                  HINT = 'Let somebody leave, or share 100 % among those who stay.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.bound_crew() IS
    'Those who are in a crew now are not more than it takes and share 100 % at most.';

CREATE TRIGGER crew_member_bounded_insert
    AFTER INSERT ON hs.crew_member
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.bound_crew();

CREATE TRIGGER crew_member_bounded_update
    AFTER UPDATE ON hs.crew_member
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.bound_crew();


CREATE TABLE hs.skill (
    business_id             uuid             NOT NULL,
    skill_id                uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    skill_code              system_core.code NOT NULL,
    name                    text             NOT NULL,
    trade                   text             NOT NULL,
    category                text             NOT NULL,
    description             text,
    is_certification_backed boolean          NOT NULL DEFAULT false,
    default_level_no        integer          NOT NULL DEFAULT 2,
    is_active               boolean          NOT NULL DEFAULT true,
    created_at              timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, skill_id),
    UNIQUE (business_id, skill_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT skill_trade_known
        CHECK (trade IN ('hvac', 'plumbing', 'electrical', 'appliance', 'garage_door',
                         'landscaping', 'pest_control', 'cleaning', 'roofing', 'handyman')),
    CONSTRAINT skill_category_known
        CHECK (category IN ('diagnostic', 'install', 'repair', 'sales', 'safety')),
    CONSTRAINT skill_level_bounded CHECK (default_level_no BETWEEN 1 AND 5)
);

COMMENT ON TABLE hs.skill IS 'A skill that jobs ask for and technicians have.';
COMMENT ON COLUMN hs.skill.default_level_no IS 'The level, 1 to 5, that a job asks for by default.';

ALTER TABLE hs.skill ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.skill
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.skill TO app_user;
GRANT SELECT ON hs.skill TO app_readonly;

CREATE TRIGGER skill_touch
    BEFORE UPDATE ON hs.skill
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.technician_skill (
    business_id                 uuid                   NOT NULL,
    technician_skill_id         uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id               uuid                   NOT NULL,
    skill_id                    uuid                   NOT NULL,
    assessed_by_user_account_id uuid,
    proficiency                 text                   NOT NULL
        GENERATED ALWAYS AS (CASE level_no WHEN 1 THEN 'trainee' WHEN 2 THEN 'competent'
                                           WHEN 3 THEN 'proficient' ELSE 'expert' END) STORED,
    level_no                    integer                NOT NULL DEFAULT 2,
    efficiency_pct              system_core.percentage NOT NULL DEFAULT 100,
    evidence_note               text,
    acquired_on                 date                   NOT NULL,
    last_used_on                date,
    assessed_on                 date,
    expires_on                  date,
    created_at                  timestamptz            NOT NULL DEFAULT now(),
    updated_at                  timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_skill_id),
    UNIQUE (business_id, technician_id, skill_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, skill_id) REFERENCES hs.skill (business_id, skill_id),
    FOREIGN KEY (business_id, assessed_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT technician_skill_level_bounded CHECK (level_no BETWEEN 1 AND 5),
    CONSTRAINT technician_skill_efficiency_bounded CHECK (efficiency_pct BETWEEN 25 AND 200),
    CONSTRAINT technician_skill_used_after_acquired CHECK (last_used_on >= acquired_on),
    CONSTRAINT technician_skill_expires_after_acquired CHECK (expires_on > acquired_on)
);

COMMENT ON TABLE hs.technician_skill IS
    'How well a technician does what a skill names; the hard filter of every assignment.';
COMMENT ON COLUMN hs.technician_skill.efficiency_pct IS
    'Time that others need, in percent of the technician''s: 125 is a quarter faster.';

-- FK and dispatch: who has a skill, the best first.
CREATE INDEX technician_skill_skill_idx
    ON hs.technician_skill (business_id, skill_id, level_no DESC);

-- FK: whom an account assessed.
CREATE INDEX technician_skill_assessor_idx
    ON hs.technician_skill (business_id, assessed_by_user_account_id)
    WHERE assessed_by_user_account_id IS NOT NULL;

ALTER TABLE hs.technician_skill ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician_skill
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.technician_skill TO app_user;
GRANT SELECT ON hs.technician_skill TO app_readonly;

CREATE TRIGGER technician_skill_touch
    BEFORE UPDATE ON hs.technician_skill
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.certification_type (
    business_id               uuid             NOT NULL,
    certification_type_id     uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    certification_code        system_core.code NOT NULL,
    name                      text             NOT NULL,
    issuing_body              text             NOT NULL,
    regime                    text             NOT NULL,
    validity_months           integer,
    renewal_lead_days         integer          NOT NULL DEFAULT 60,
    ceu_hours                 numeric(10, 2)   NOT NULL DEFAULT 0,
    is_mandatory_for_dispatch boolean          NOT NULL DEFAULT false,
    description               text,
    created_at                timestamptz      NOT NULL DEFAULT now(),
    updated_at                timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, certification_type_id),
    UNIQUE (business_id, certification_code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT certification_type_regime_known
        CHECK (regime IN ('epa_608', 'nate', 'state_license', 'osha_10', 'osha_30', 'backflow',
                          'gas_fitting', 'electrical', 'mold', 'lead_rrp', 'manufacturer')),
    CONSTRAINT certification_type_validity_positive CHECK (validity_months > 0),
    CONSTRAINT certification_type_lead_bounded CHECK (renewal_lead_days BETWEEN 0 AND 730),
    CONSTRAINT certification_type_ceu_not_negative CHECK (ceu_hours >= 0)
);

COMMENT ON TABLE hs.certification_type IS
    'A license or certificate that the business keeps track of, and how it is renewed.';
COMMENT ON COLUMN hs.certification_type.validity_months IS
    'NULL where it holds for life, as EPA 608 does.';
COMMENT ON COLUMN hs.certification_type.ceu_hours IS
    'Hours of continuing education that a renewal asks for.';

ALTER TABLE hs.certification_type ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.certification_type
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.certification_type TO app_user;
GRANT SELECT ON hs.certification_type TO app_readonly;

CREATE TRIGGER certification_type_touch
    BEFORE UPDATE ON hs.certification_type
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.technician_certification (
    business_id                 uuid             NOT NULL,
    technician_certification_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id               uuid             NOT NULL,
    certification_type_id       uuid             NOT NULL,
    evidence_file_object_id     uuid,
    certificate_number          text             NOT NULL,
    level_name                  text             NOT NULL DEFAULT 'standard',
    issuing_state               system_core.region,
    status                      text             NOT NULL DEFAULT 'pending',
    verification_method         text,
    ceu_earned_hours            numeric(10, 2)   NOT NULL DEFAULT 0,
    issued_on                   date             NOT NULL,
    expires_on                  date,
    renewal_reminder_on         date,
    verified_at                 timestamptz,
    created_at                  timestamptz      NOT NULL DEFAULT now(),
    updated_at                  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_certification_id),
    UNIQUE (business_id, certification_type_id, certificate_number),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, certification_type_id)
        REFERENCES hs.certification_type (business_id, certification_type_id),
    FOREIGN KEY (business_id, evidence_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT technician_certification_level_known
        CHECK (level_name IN ('type_i', 'type_ii', 'type_iii', 'universal', 'standard',
                              'journeyman', 'master')),
    CONSTRAINT technician_certification_status_known
        CHECK (status IN ('pending', 'valid', 'expiring', 'expired', 'revoked')),
    CONSTRAINT technician_certification_method_known
        CHECK (verification_method IN ('card', 'registry', 'letter')),
    CONSTRAINT technician_certification_expires_after_issue CHECK (expires_on > issued_on),
    CONSTRAINT technician_certification_valid_is_verified
        CHECK (status NOT IN ('valid', 'expiring') OR verified_at IS NOT NULL),
    CONSTRAINT technician_certification_verified_somehow
        CHECK ((verified_at IS NULL) = (verification_method IS NULL)),
    CONSTRAINT technician_certification_ceu_not_negative CHECK (ceu_earned_hours >= 0)
);

COMMENT ON TABLE hs.technician_certification IS
    'A technician''s certificate, with its evidence, how it was verified, and its end.';

-- FK and dispatch: what a technician may do.
CREATE INDEX technician_certification_technician_idx
    ON hs.technician_certification (business_id, technician_id, certification_type_id);

-- The watch for what lapses next.
CREATE INDEX technician_certification_expiry_idx
    ON hs.technician_certification (business_id, expires_on)
    WHERE status IN ('valid', 'expiring');

-- FK: the certificate that a file proves.
CREATE INDEX technician_certification_file_idx
    ON hs.technician_certification (business_id, evidence_file_object_id)
    WHERE evidence_file_object_id IS NOT NULL;

ALTER TABLE hs.technician_certification ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician_certification
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.technician_certification TO app_user;
GRANT SELECT ON hs.technician_certification TO app_readonly;

CREATE TRIGGER technician_certification_touch
    BEFORE UPDATE ON hs.technician_certification
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER technician_certification_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.technician_certification
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending", "valid"],
        "transitions": {
            "pending":  ["valid", "revoked"],
            "valid":    ["expiring", "expired", "revoked"],
            "expiring": ["valid", "expired", "revoked"],
            "expired":  ["valid"],
            "revoked":  []
        }}');

CREATE FUNCTION hs.expire_certificates(on_day date DEFAULT current_date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE hs.technician_certification AS c
    SET status = CASE WHEN c.expires_on <= on_day THEN 'expired' ELSE 'expiring' END
    FROM hs.certification_type AS t
    WHERE c.business_id = tenant_mgmt.current_business_id()
      AND t.business_id = c.business_id AND t.certification_type_id = c.certification_type_id
      AND ((c.status IN ('valid', 'expiring') AND c.expires_on <= on_day)
           OR (c.status = 'valid' AND c.expires_on - t.renewal_lead_days <= on_day));
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION hs.expire_certificates(date) IS
    'Moves the tenant''s certificates on as time passes: expiring within the lead of their kind,
     expired on their last day. Returns how many moved.';


CREATE TABLE hs.technician_territory (
    business_id             uuid                   NOT NULL,
    technician_territory_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id           uuid                   NOT NULL,
    service_territory_id    uuid                   NOT NULL,
    membership              text                   NOT NULL DEFAULT 'primary',
    max_daily_job_count     integer                NOT NULL DEFAULT 6,
    travel_paid_pct         system_core.percentage NOT NULL DEFAULT 100,
    start_from              text                   NOT NULL DEFAULT 'home',
    priority_rank           integer                NOT NULL DEFAULT 1,
    starts_on               date                   NOT NULL,
    ends_on                 date,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_territory_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, service_territory_id)
        REFERENCES hs.service_territory (business_id, service_territory_id),
    CONSTRAINT technician_territory_membership_known
        CHECK (membership IN ('primary', 'secondary', 'relocation')),
    CONSTRAINT technician_territory_start_known CHECK (start_from IN ('home', 'branch')),
    CONSTRAINT technician_territory_jobs_bounded CHECK (max_daily_job_count BETWEEN 1 AND 40),
    CONSTRAINT technician_territory_travel_bounded CHECK (travel_paid_pct BETWEEN 0 AND 100),
    CONSTRAINT technician_territory_rank_positive CHECK (priority_rank > 0),
    CONSTRAINT technician_territory_ends_after_start CHECK (ends_on > starts_on),
    CONSTRAINT technician_territory_relocation_ends
        CHECK (membership <> 'relocation' OR ends_on IS NOT NULL),
    CONSTRAINT technician_territory_one_primary EXCLUDE USING gist (
        business_id WITH =, technician_id WITH =, daterange(starts_on, ends_on) WITH &&)
        WHERE (membership = 'primary')
);

COMMENT ON TABLE hs.technician_territory IS
    'Where a technician works for a time, and from where the day starts.';

-- FK and dispatch: who works in a zone.
CREATE INDEX technician_territory_territory_idx
    ON hs.technician_territory (business_id, service_territory_id, starts_on);

-- FK: the zones of a technician.
CREATE INDEX technician_territory_technician_idx
    ON hs.technician_territory (business_id, technician_id);

ALTER TABLE hs.technician_territory ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician_territory
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.technician_territory TO app_user;
GRANT SELECT ON hs.technician_territory TO app_readonly;

CREATE TRIGGER technician_territory_touch
    BEFORE UPDATE ON hs.technician_territory
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.technician_shift (
    business_id         uuid        NOT NULL,
    technician_shift_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id       uuid        NOT NULL,
    branch_id           uuid,
    shift_on            date        NOT NULL,
    starts_at           timestamptz NOT NULL,
    ends_at             timestamptz NOT NULL,
    shift_kind          text        NOT NULL DEFAULT 'regular',
    break_minutes       integer     NOT NULL DEFAULT 30,
    start_from          text        NOT NULL DEFAULT 'home',
    status              text        NOT NULL DEFAULT 'planned',
    on_call_rank        integer,
    capacity_minutes    integer     NOT NULL GENERATED ALWAYS AS (
                            extract(epoch FROM ends_at - starts_at)::integer / 60
                            - break_minutes) STORED,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_shift_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    CONSTRAINT technician_shift_kind_known
        CHECK (shift_kind IN ('regular', 'overtime', 'on_call', 'training')),
    CONSTRAINT technician_shift_start_known CHECK (start_from IN ('home', 'branch')),
    CONSTRAINT technician_shift_status_known
        CHECK (status IN ('planned', 'published', 'worked', 'no_show', 'cancelled')),
    CONSTRAINT technician_shift_not_too_long
        CHECK (ends_at <= starts_at + interval '16 hours'),
    CONSTRAINT technician_shift_break_within
        CHECK (break_minutes >= 0 AND ends_at > starts_at + break_minutes * interval '1 minute'),
    CONSTRAINT technician_shift_rank_of_on_call
        CHECK ((shift_kind = 'on_call') = (on_call_rank IS NOT NULL)),
    CONSTRAINT technician_shift_rank_positive CHECK (on_call_rank > 0),
    CONSTRAINT technician_shift_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, technician_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
        WHERE (status <> 'cancelled')
);

COMMENT ON TABLE hs.technician_shift IS
    'Planned work or stand-by; a day''s capacity is its published shifts less absences.';
COMMENT ON COLUMN hs.technician_shift.capacity_minutes IS 'Time to sell: the shift less its break.';
COMMENT ON COLUMN hs.technician_shift.on_call_rank IS '1 is called first.';

-- Dispatch board and capacity: the shifts of a day.
CREATE INDEX technician_shift_day_idx
    ON hs.technician_shift (business_id, shift_on, technician_id)
    WHERE status IN ('planned', 'published', 'worked');

-- FK: the shifts that start at a branch.
CREATE INDEX technician_shift_branch_idx
    ON hs.technician_shift (business_id, branch_id)
    WHERE branch_id IS NOT NULL;

ALTER TABLE hs.technician_shift ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician_shift
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.technician_shift TO app_user;
GRANT SELECT ON hs.technician_shift TO app_readonly;

CREATE TRIGGER technician_shift_touch
    BEFORE UPDATE ON hs.technician_shift
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER technician_shift_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.technician_shift
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["planned", "published"],
        "transitions": {
            "planned":   ["published", "cancelled"],
            "published": ["worked", "no_show", "cancelled"],
            "worked":    [],
            "no_show":   ["worked"],
            "cancelled": []
        }}');


CREATE TABLE hs.technician_absence (
    business_id                 uuid        NOT NULL,
    technician_absence_id       uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    technician_id               uuid        NOT NULL,
    approved_by_user_account_id uuid,
    absence_kind                text        NOT NULL,
    starts_at                   timestamptz NOT NULL,
    ends_at                     timestamptz NOT NULL,
    is_paid                     boolean     NOT NULL DEFAULT true,
    is_dispatch_blocking        boolean     NOT NULL DEFAULT true,
    status                      text        NOT NULL DEFAULT 'requested',
    reason_text                 text,
    affected_job_count          integer     NOT NULL DEFAULT 0,
    requested_at                timestamptz NOT NULL DEFAULT now(),
    decided_at                  timestamptz,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, technician_absence_id),
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, approved_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT technician_absence_kind_known
        CHECK (absence_kind IN ('vacation', 'sick', 'training', 'meeting', 'truck_service',
                                'jury_duty', 'leave')),
    CONSTRAINT technician_absence_status_known
        CHECK (status IN ('requested', 'approved', 'declined', 'cancelled')),
    CONSTRAINT technician_absence_ends_after_start CHECK (ends_at > starts_at),
    CONSTRAINT technician_absence_decided_after_request CHECK (decided_at >= requested_at),
    CONSTRAINT technician_absence_decided_has_time
        CHECK (status NOT IN ('approved', 'declined') OR decided_at IS NOT NULL),
    CONSTRAINT technician_absence_jobs_not_negative CHECK (affected_job_count >= 0),
    CONSTRAINT technician_absence_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, technician_id WITH =, tstzrange(starts_at, ends_at) WITH &&)
        WHERE (status = 'approved')
);

COMMENT ON TABLE hs.technician_absence IS
    'Time off, training or a truck''s service that takes a technician off the board.';
COMMENT ON COLUMN hs.technician_absence.affected_job_count IS
    'Jobs that had to be moved when it was approved.';

-- FK and dispatch: who is away in a span of time.
CREATE INDEX technician_absence_technician_idx
    ON hs.technician_absence (business_id, technician_id, starts_at);

-- FK: what an account decided.
CREATE INDEX technician_absence_approver_idx
    ON hs.technician_absence (business_id, approved_by_user_account_id)
    WHERE approved_by_user_account_id IS NOT NULL;

ALTER TABLE hs.technician_absence ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.technician_absence
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.technician_absence TO app_user;
GRANT SELECT ON hs.technician_absence TO app_readonly;

CREATE TRIGGER technician_absence_touch
    BEFORE UPDATE ON hs.technician_absence
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER technician_absence_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.technician_absence
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["requested"],
        "transitions": {
            "requested": ["approved", "declined", "cancelled"],
            "approved":  ["cancelled"],
            "declined":  ["approved"],
            "cancelled": []
        }}');


CREATE FUNCTION hs.free_minutes(of_technician uuid, on_day date) RETURNS integer
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT coalesce(sum(greatest(0, s.capacity_minutes - coalesce((
            SELECT sum(extract(epoch FROM least(a.ends_at, s.ends_at)
                                          - greatest(a.starts_at, s.starts_at)) / 60)
            FROM hs.technician_absence AS a
            WHERE a.business_id = s.business_id AND a.technician_id = s.technician_id
              AND a.status = 'approved' AND a.is_dispatch_blocking
              AND a.starts_at < s.ends_at AND a.ends_at > s.starts_at), 0))), 0)::integer
        FROM hs.technician_shift AS s
        WHERE s.business_id = tenant_mgmt.current_business_id()
          AND s.technician_id = of_technician AND s.shift_on = on_day
          AND s.shift_kind IN ('regular', 'overtime') AND s.status IN ('published', 'worked'));
END
$$;
COMMENT ON FUNCTION hs.free_minutes(uuid, date) IS
    'Minutes that a technician of the tenant can sell on a day: published shifts less breaks and
     approved absences that block dispatch.';


CREATE VIEW hs.v_certification_watch WITH (security_invoker = true) AS
SELECT c.business_id, c.technician_certification_id, t.technician_id, t.full_name, t.branch_id,
       k.certification_code, k.name AS certification_name, k.is_mandatory_for_dispatch, c.status,
       c.expires_on, c.expires_on - current_date AS days_left,
       k.is_mandatory_for_dispatch AND NOT EXISTS (
           SELECT FROM hs.technician_certification AS other
           WHERE other.business_id = c.business_id AND other.technician_id = c.technician_id
             AND other.certification_type_id = c.certification_type_id
             AND other.status IN ('valid', 'expiring')
             AND (other.expires_on IS NULL OR other.expires_on > c.expires_on)
       ) AS stops_dispatch
FROM hs.technician_certification AS c
JOIN hs.certification_type AS k
    ON k.business_id = c.business_id AND k.certification_type_id = c.certification_type_id
JOIN hs.technician AS t
    ON t.business_id = c.business_id AND t.technician_id = c.technician_id
WHERE c.status IN ('valid', 'expiring', 'expired') AND t.terminated_on IS NULL
  AND c.expires_on - k.renewal_lead_days <= current_date;
COMMENT ON VIEW hs.v_certification_watch IS
    'Certificates that lapse within the lead of their kind or have lapsed, and whether nothing
     else keeps the technician on the board then.';
GRANT SELECT ON hs.v_certification_watch TO app_user, app_readonly;
