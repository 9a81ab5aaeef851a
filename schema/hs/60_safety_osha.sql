/*
 * Safety: what happened to whom, and the records of 29 CFR 1904 that follow from it.
 *
 * An osha_establishment is a branch as the log knows it, with the deadlines and limits of the law
 * as the tenant's data; osha_hours_worked are its hours by month. A safety_incident is what
 * happened, incident_person who was part of it, incident_investigation why. A recordable injury is
 * an osha_case, one line of the form 300 of its year, with its osha_301_report; the days it cost
 * are its osha_restriction_period rows, from which the counts and the outcome of the case follow.
 * osha_300a_summary is the sum of a year; once certified, cases, days and hours of the year stay as
 * they are. ita_submission is the filing with OSHA's Injury Tracking Application and its answer.
 */

CREATE TABLE hs.osha_establishment (
    business_id           uuid                    NOT NULL,
    osha_establishment_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    branch_id             uuid                    NOT NULL,
    establishment_name    text                    NOT NULL,
    legal_company_name    text                    NOT NULL,
    ein                   text,
    street_address        text                    NOT NULL,
    city                  text                    NOT NULL,
    region_code           system_core.region      NOT NULL,
    postal_code           system_core.postal_code NOT NULL,
    naics_code            text                    NOT NULL,
    industry_description  text,
    size_band             text                    NOT NULL,
    is_partially_exempt   boolean                 NOT NULL DEFAULT false,
    ita_establishment_ref text,
    filing_duty           text                    NOT NULL DEFAULT '300a',
    fatality_report_hours integer                 NOT NULL DEFAULT 8,
    severe_report_hours   integer                 NOT NULL DEFAULT 24,
    record_within_days    integer                 NOT NULL DEFAULT 7,
    day_count_cap         integer                 NOT NULL DEFAULT 180,
    rate_base_hours       integer                 NOT NULL DEFAULT 200000,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, osha_establishment_id),
    UNIQUE (business_id, establishment_name),
    FOREIGN KEY (business_id, branch_id) REFERENCES hs.branch (business_id, branch_id),
    CONSTRAINT osha_establishment_ein_shape CHECK (ein ~ '^[0-9]{9}$'),
    CONSTRAINT osha_establishment_naics_shape CHECK (naics_code ~ '^[0-9]{6}$'),
    CONSTRAINT osha_establishment_size_band_known
        CHECK (size_band IN ('under_20', '20_to_99', '100_to_249', '250_plus')),
    CONSTRAINT osha_establishment_filing_duty_known
        CHECK (filing_duty IN ('none', '300a', '300a_300_301')),
    CONSTRAINT osha_establishment_report_hours_positive
        CHECK (fatality_report_hours > 0 AND severe_report_hours > 0),
    CONSTRAINT osha_establishment_record_days_positive CHECK (record_within_days > 0),
    CONSTRAINT osha_establishment_day_cap_bounded CHECK (day_count_cap BETWEEN 1 AND 180),
    CONSTRAINT osha_establishment_rate_base_positive CHECK (rate_base_hours > 0)
);

COMMENT ON TABLE hs.osha_establishment IS
    'An establishment that keeps its own log, with its size, its duty to file and the deadlines
     and limits that apply to it.';
COMMENT ON COLUMN hs.osha_establishment.ein IS 'Employer identification number, digits only.';
COMMENT ON COLUMN hs.osha_establishment.size_band IS 'Employees at the peak of the year.';
COMMENT ON COLUMN hs.osha_establishment.is_partially_exempt IS
    'Its industry keeps no log unless asked to; severe incidents are reported all the same.';
COMMENT ON COLUMN hs.osha_establishment.ita_establishment_ref IS
    'Key of the establishment in the Injury Tracking Application.';
COMMENT ON COLUMN hs.osha_establishment.fatality_report_hours IS
    'Hours to report a death, from when it was known.';
COMMENT ON COLUMN hs.osha_establishment.severe_report_hours IS
    'Hours to report an in-patient hospitalization, an amputation or the loss of an eye.';
COMMENT ON COLUMN hs.osha_establishment.record_within_days IS
    'Days to enter a case on the log and complete its form 301, from when it was known.';
COMMENT ON COLUMN hs.osha_establishment.day_count_cap IS
    'Days away and restricted days of one case that are counted at most, together.';
COMMENT ON COLUMN hs.osha_establishment.rate_base_hours IS
    'Hours that incidence rates are given for: 100 people for a year.';

-- FK: the establishments of a branch.
CREATE INDEX osha_establishment_branch_idx ON hs.osha_establishment (business_id, branch_id);

ALTER TABLE hs.osha_establishment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.osha_establishment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.osha_establishment TO app_user;
GRANT SELECT ON hs.osha_establishment TO app_readonly;

CREATE TRIGGER osha_establishment_touch
    BEFORE UPDATE ON hs.osha_establishment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.osha_hours_worked (
    business_id           uuid           NOT NULL,
    osha_hours_worked_id  uuid           NOT NULL DEFAULT system_core.uuid_v7(),
    osha_establishment_id uuid           NOT NULL,
    month_on              date           NOT NULL,
    employee_count        integer        NOT NULL,
    temp_worker_count     integer        NOT NULL DEFAULT 0,
    hours_worked          numeric(10, 2) NOT NULL,
    overtime_hours        numeric(10, 2) NOT NULL DEFAULT 0,
    source                text           NOT NULL DEFAULT 'timesheet',
    closed_at             timestamptz,
    created_at            timestamptz    NOT NULL DEFAULT now(),
    updated_at            timestamptz    NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, osha_hours_worked_id),
    UNIQUE (business_id, osha_establishment_id, month_on),
    FOREIGN KEY (business_id, osha_establishment_id)
        REFERENCES hs.osha_establishment (business_id, osha_establishment_id),
    CONSTRAINT osha_hours_worked_source_known
        CHECK (source IN ('timesheet', 'payroll_import', 'manual')),
    CONSTRAINT osha_hours_worked_month_begins CHECK (extract(day FROM month_on) = 1),
    CONSTRAINT osha_hours_worked_people_not_negative
        CHECK (employee_count >= 0 AND temp_worker_count >= 0),
    CONSTRAINT osha_hours_worked_hours_not_negative CHECK (hours_worked >= 0),
    CONSTRAINT osha_hours_worked_overtime_is_part
        CHECK (overtime_hours BETWEEN 0 AND hours_worked)
);

COMMENT ON TABLE hs.osha_hours_worked IS
    'People and hours of an establishment in a month: the denominator of its incidence rates.';
COMMENT ON COLUMN hs.osha_hours_worked.employee_count IS
    'Everybody paid in the month, whether full time, part time or seasonal.';
COMMENT ON COLUMN hs.osha_hours_worked.temp_worker_count IS
    'Of an agency, but supervised here: their cases belong to this log.';
COMMENT ON COLUMN hs.osha_hours_worked.hours_worked IS
    'Hours at work with overtime, without vacation, sickness and holidays.';
COMMENT ON COLUMN hs.osha_hours_worked.closed_at IS
    'Since when the figures of the month stay as they are.';

ALTER TABLE hs.osha_hours_worked ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.osha_hours_worked
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.osha_hours_worked TO app_user;
GRANT SELECT ON hs.osha_hours_worked TO app_readonly;

CREATE TRIGGER osha_hours_worked_touch
    BEFORE UPDATE ON hs.osha_hours_worked
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.keep_closed_hours() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'the hours of % are closed', to_char(OLD.month_on, 'YYYY-MM')
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Open the month first (closed_at), correct it, and close it again.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.keep_closed_hours() IS
    'The figures of a closed month do not change, except by who imports history.';

CREATE TRIGGER osha_hours_worked_keep_closed
    BEFORE UPDATE ON hs.osha_hours_worked
    FOR EACH ROW WHEN (
        OLD.closed_at IS NOT NULL AND NEW.closed_at IS NOT NULL
        AND (OLD.osha_establishment_id, OLD.month_on, OLD.employee_count, OLD.temp_worker_count,
             OLD.hours_worked, OLD.overtime_hours)
            IS DISTINCT FROM
            (NEW.osha_establishment_id, NEW.month_on, NEW.employee_count, NEW.temp_worker_count,
             NEW.hours_worked, NEW.overtime_hours))
    EXECUTE FUNCTION hs.keep_closed_hours();


CREATE TABLE hs.safety_incident (
    business_id                 uuid              NOT NULL,
    safety_incident_id          uuid              NOT NULL DEFAULT system_core.uuid_v7(),
    osha_establishment_id       uuid              NOT NULL,
    work_order_id               uuid,
    service_location_id         uuid,
    truck_id                    uuid,
    reported_by_user_account_id uuid,
    incident_number             system_core.code  NOT NULL,
    incident_kind               text              NOT NULL,
    severity                    text              NOT NULL,
    status                      text              NOT NULL DEFAULT 'reported',
    is_amputation               boolean           NOT NULL DEFAULT false,
    is_eye_loss                 boolean           NOT NULL DEFAULT false,
    is_time_unknown             boolean           NOT NULL DEFAULT false,
    is_drug_test_required       boolean           NOT NULL DEFAULT false,
    report_exemption            text,
    place_description           text              NOT NULL,
    what_happened               text              NOT NULL,
    immediate_action            text,
    estimated_cost              system_core.money NOT NULL DEFAULT 0,
    occurred_at                 timestamptz       NOT NULL,
    reported_at                 timestamptz       NOT NULL DEFAULT now(),
    outcome_known_at            timestamptz       NOT NULL,
    osha_report_due_at          timestamptz,
    osha_reported_at            timestamptz,
    created_at                  timestamptz       NOT NULL DEFAULT now(),
    updated_at                  timestamptz       NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, safety_incident_id),
    UNIQUE (business_id, incident_number),
    UNIQUE (business_id, osha_establishment_id, safety_incident_id),
    FOREIGN KEY (business_id, osha_establishment_id)
        REFERENCES hs.osha_establishment (business_id, osha_establishment_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, service_location_id)
        REFERENCES hs.service_location (business_id, service_location_id),
    FOREIGN KEY (business_id, truck_id) REFERENCES hs.truck (business_id, truck_id),
    FOREIGN KEY (business_id, reported_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT safety_incident_kind_known
        CHECK (incident_kind IN ('injury', 'illness', 'near_miss', 'property_damage', 'vehicle',
                                 'environmental', 'customer_injury')),
    CONSTRAINT safety_incident_severity_known
        CHECK (severity IN ('near_miss', 'first_aid', 'medical_treatment', 'lost_time',
                            'hospitalization', 'fatality')),
    CONSTRAINT safety_incident_status_known
        CHECK (status IN ('reported', 'investigating', 'action_open', 'closed')),
    CONSTRAINT safety_incident_exemption_known
        CHECK (report_exemption IN ('public_road', 'public_transport', 'late_outcome',
                                    'admitted_for_observation')),
    CONSTRAINT safety_incident_near_miss_hurts_nobody
        CHECK (incident_kind <> 'near_miss' OR severity = 'near_miss'),
    CONSTRAINT safety_incident_loss_is_severe
        CHECK (NOT (is_amputation OR is_eye_loss) OR severity NOT IN ('near_miss', 'first_aid')),
    CONSTRAINT safety_incident_reported_after_it_happened CHECK (reported_at >= occurred_at),
    CONSTRAINT safety_incident_known_after_it_happened CHECK (outcome_known_at >= occurred_at),
    CONSTRAINT safety_incident_told_after_it_happened CHECK (osha_reported_at >= occurred_at),
    CONSTRAINT safety_incident_closed_is_told
        CHECK (status <> 'closed' OR osha_report_due_at IS NULL OR osha_reported_at IS NOT NULL),
    CONSTRAINT safety_incident_cost_not_negative CHECK (estimated_cost >= 0)
);

COMMENT ON TABLE hs.safety_incident IS
    'An injury, illness, near miss, damage or crash: what happened, how bad it was, and by when
     it has to be reported.';
COMMENT ON COLUMN hs.safety_incident.severity IS
    'The worst outcome so far; hospitalization is in-patient, for treatment.';
COMMENT ON COLUMN hs.safety_incident.report_exemption IS
    'Why a severe incident is not reported within hours: a crash on a public road outside a work
     zone, on public transport, a death or admission too late after it, or observation only.';
COMMENT ON COLUMN hs.safety_incident.reported_at IS 'When the employer learned of it.';
COMMENT ON COLUMN hs.safety_incident.outcome_known_at IS
    'When the employer learned that it was as severe as it is: the clock of the report.';
COMMENT ON COLUMN hs.safety_incident.osha_report_due_at IS
    'Derived: the hours of the establishment after the outcome was known; NULL where nothing is
     to be reported within hours.';
COMMENT ON COLUMN hs.safety_incident.osha_reported_at IS
    'When OSHA was told of this outcome, by phone or online.';

-- FK, and the incidents of an establishment by time.
CREATE INDEX safety_incident_establishment_idx
    ON hs.safety_incident (business_id, osha_establishment_id, occurred_at);

-- What OSHA still has to be told, the most urgent first.
CREATE INDEX safety_incident_report_due_idx
    ON hs.safety_incident (business_id, osha_report_due_at)
    WHERE osha_report_due_at IS NOT NULL AND osha_reported_at IS NULL;

-- FK: the incidents of a job.
CREATE INDEX safety_incident_work_order_idx
    ON hs.safety_incident (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: what happened at a location.
CREATE INDEX safety_incident_location_idx
    ON hs.safety_incident (business_id, service_location_id)
    WHERE service_location_id IS NOT NULL;

-- FK: the incidents of a truck.
CREATE INDEX safety_incident_truck_idx
    ON hs.safety_incident (business_id, truck_id)
    WHERE truck_id IS NOT NULL;

-- FK: what an account reported.
CREATE INDEX safety_incident_reporter_idx
    ON hs.safety_incident (business_id, reported_by_user_account_id)
    WHERE reported_by_user_account_id IS NOT NULL;

ALTER TABLE hs.safety_incident ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.safety_incident
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.safety_incident TO app_user;
GRANT SELECT ON hs.safety_incident TO app_readonly;

CREATE TRIGGER safety_incident_touch
    BEFORE UPDATE ON hs.safety_incident
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER safety_incident_number
    BEFORE INSERT ON hs.safety_incident
    FOR EACH ROW WHEN (NEW.incident_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'incident_number', 'safety_incident', 'INC-', 'safety_incident_id');

CREATE TRIGGER safety_incident_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.safety_incident
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["reported"],
        "transitions": {
            "reported":      ["investigating", "action_open", "closed"],
            "investigating": ["action_open", "closed"],
            "action_open":   ["investigating", "closed"],
            "closed":        ["investigating"]
        }}');

CREATE FUNCTION hs.set_report_deadline() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_worse boolean;
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.outcome_known_at := coalesce(NEW.outcome_known_at, NEW.reported_at);
    ELSIF row_security_active(TG_RELID) THEN
        is_worse := (NEW.severity <> OLD.severity
                     AND NEW.severity IN ('hospitalization', 'fatality'))
                    OR NEW.is_amputation > OLD.is_amputation OR NEW.is_eye_loss > OLD.is_eye_loss;
        IF is_worse AND NEW.outcome_known_at = OLD.outcome_known_at THEN
            NEW.outcome_known_at := now();
        END IF;
        -- OSHA was told of an admission, not of the death that followed.
        IF is_worse AND NEW.severity = 'fatality'
            AND NEW.osha_reported_at <= OLD.osha_reported_at THEN
            NEW.osha_reported_at := NULL;
        END IF;
    END IF;

    NEW.osha_report_due_at := NULL;
    IF (NEW.severity IN ('hospitalization', 'fatality') OR NEW.is_amputation OR NEW.is_eye_loss)
        AND NEW.incident_kind IN ('injury', 'illness', 'vehicle', 'environmental')
        AND NEW.report_exemption IS NULL THEN
        SELECT NEW.outcome_known_at + make_interval(hours =>
                   CASE NEW.severity WHEN 'fatality' THEN e.fatality_report_hours
                        ELSE e.severe_report_hours END)
        INTO NEW.osha_report_due_at
        FROM hs.osha_establishment AS e
        WHERE e.business_id = NEW.business_id
          AND e.osha_establishment_id = NEW.osha_establishment_id;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.set_report_deadline() IS
    'A death, an admission, an amputation or the loss of an eye of one of our own is reported
     within the hours of the establishment; when an incident turns out worse, the clock starts
     anew. Only severe incidents are looked up.';

CREATE TRIGGER safety_incident_report_deadline
    BEFORE INSERT OR UPDATE OF osha_establishment_id, incident_kind, severity, is_amputation,
        is_eye_loss, report_exemption, outcome_known_at, osha_report_due_at
    ON hs.safety_incident
    FOR EACH ROW EXECUTE FUNCTION hs.set_report_deadline();


CREATE TABLE hs.incident_person (
    business_id              uuid        NOT NULL,
    incident_person_id       uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    safety_incident_id       uuid        NOT NULL,
    technician_id            uuid,
    statement_file_object_id uuid,
    involvement              text        NOT NULL,
    person_name              system_core.person_name,
    employer_name            text,
    job_title                text,
    phone                    system_core.phone,
    statement_text           text,
    statement_at             timestamptz,
    body_part                text,
    injury_nature            text,
    treatment                text        NOT NULL DEFAULT 'none',
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, incident_person_id),
    UNIQUE (business_id, safety_incident_id, incident_person_id),
    FOREIGN KEY (business_id, safety_incident_id)
        REFERENCES hs.safety_incident (business_id, safety_incident_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    FOREIGN KEY (business_id, statement_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT incident_person_involvement_known
        CHECK (involvement IN ('injured', 'involved', 'witness', 'supervisor', 'first_aider')),
    CONSTRAINT incident_person_treatment_known
        CHECK (treatment IN ('none', 'first_aid', 'clinic', 'emergency_room', 'inpatient')),
    CONSTRAINT incident_person_is_somebody CHECK (num_nonnulls(technician_id, person_name) >= 1),
    CONSTRAINT incident_person_injury_is_named
        CHECK (involvement <> 'injured' OR (body_part IS NOT NULL AND injury_nature IS NOT NULL)),
    CONSTRAINT incident_person_only_injured_are_treated
        CHECK (treatment = 'none' OR involvement = 'injured'),
    CONSTRAINT incident_person_statement_has_time
        CHECK (num_nonnulls(statement_text, statement_file_object_id) = 0
               OR statement_at IS NOT NULL)
);

COMMENT ON TABLE hs.incident_person IS
    'Who was hurt, took part, saw it or helped, with what they said.';
COMMENT ON COLUMN hs.incident_person.employer_name IS 'Where not employed here.';
COMMENT ON COLUMN hs.incident_person.person_name IS 'Who is not a technician, or was not then.';

-- FK: the incidents of a technician.
CREATE INDEX incident_person_technician_idx
    ON hs.incident_person (business_id, technician_id)
    WHERE technician_id IS NOT NULL;

-- FK: the statement that a file holds.
CREATE INDEX incident_person_file_idx
    ON hs.incident_person (business_id, statement_file_object_id)
    WHERE statement_file_object_id IS NOT NULL;

ALTER TABLE hs.incident_person ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.incident_person
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.incident_person TO app_user;
GRANT SELECT ON hs.incident_person TO app_readonly;

CREATE TRIGGER incident_person_touch
    BEFORE UPDATE ON hs.incident_person
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.incident_investigation (
    business_id               uuid                   NOT NULL,
    incident_investigation_id uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    safety_incident_id        uuid                   NOT NULL,
    lead_user_account_id      uuid,
    method                    text                   NOT NULL,
    root_cause                text,
    root_cause_text           text,
    contributing_factors      system_core.json_array NOT NULL DEFAULT '[]',
    preventability            text,
    opened_on                 date                   NOT NULL DEFAULT current_date,
    due_on                    date                   NOT NULL,
    completed_on              date,
    approved_on               date,
    created_at                timestamptz            NOT NULL DEFAULT now(),
    updated_at                timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, incident_investigation_id),
    UNIQUE (business_id, safety_incident_id),
    FOREIGN KEY (business_id, safety_incident_id)
        REFERENCES hs.safety_incident (business_id, safety_incident_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, lead_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT incident_investigation_method_known
        CHECK (method IN ('five_whys', 'fishbone', 'tap_root', 'checklist')),
    CONSTRAINT incident_investigation_root_cause_known
        CHECK (root_cause IN ('training', 'procedure', 'equipment', 'ppe', 'supervision',
                              'environment', 'behavior')),
    CONSTRAINT incident_investigation_preventability_known
        CHECK (preventability IN ('preventable', 'non_preventable')),
    CONSTRAINT incident_investigation_due_after_opening CHECK (due_on >= opened_on),
    CONSTRAINT incident_investigation_completed_after_opening CHECK (completed_on >= opened_on),
    CONSTRAINT incident_investigation_approved_after_completion
        CHECK (approved_on >= completed_on),
    CONSTRAINT incident_investigation_approves_what_is_complete
        CHECK (approved_on IS NULL OR completed_on IS NOT NULL),
    CONSTRAINT incident_investigation_complete_has_cause
        CHECK (completed_on IS NULL OR root_cause IS NOT NULL)
);

COMMENT ON TABLE hs.incident_investigation IS
    'Why an incident happened: root cause, what contributed, and who signed it off.';
COMMENT ON COLUMN hs.incident_investigation.contributing_factors IS
    'Array of {"factor": text, "detail": text}.';

-- FK: what an account investigates, the open ones by due date.
CREATE INDEX incident_investigation_lead_idx
    ON hs.incident_investigation (business_id, lead_user_account_id, due_on)
    WHERE lead_user_account_id IS NOT NULL;

ALTER TABLE hs.incident_investigation ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.incident_investigation
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.incident_investigation TO app_user;
GRANT SELECT ON hs.incident_investigation TO app_readonly;

CREATE TRIGGER incident_investigation_touch
    BEFORE UPDATE ON hs.incident_investigation
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.osha_case (
    business_id           uuid             NOT NULL,
    osha_case_id          uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    osha_establishment_id uuid             NOT NULL,
    safety_incident_id    uuid             NOT NULL,
    incident_person_id    uuid             NOT NULL,
    case_number           system_core.code NOT NULL,
    log_year              integer          NOT NULL
        GENERATED ALWAYS AS (extract(year FROM event_on)::integer) STORED,
    recorded_on           date             NOT NULL DEFAULT current_date,
    employee_name         system_core.person_name NOT NULL,
    job_title             text             NOT NULL,
    is_privacy_case       boolean          NOT NULL DEFAULT false,
    event_on              date             NOT NULL,
    where_occurred        text             NOT NULL,
    description           text             NOT NULL,
    injury_type           text             NOT NULL DEFAULT 'injury',
    days_away_count       integer          NOT NULL DEFAULT 0,
    days_restricted_count integer          NOT NULL DEFAULT 0,
    died_on               date,
    outcome               text             NOT NULL
        GENERATED ALWAYS AS (CASE WHEN died_on IS NOT NULL THEN 'death'
                                  WHEN days_away_count > 0 THEN 'days_away'
                                  WHEN days_restricted_count > 0 THEN 'job_transfer_restriction'
                                  ELSE 'other_recordable' END) STORED,
    is_removed            boolean          NOT NULL DEFAULT false,
    created_at            timestamptz      NOT NULL DEFAULT now(),
    updated_at            timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, osha_case_id),
    UNIQUE (business_id, osha_establishment_id, log_year, case_number),
    UNIQUE (business_id, safety_incident_id, incident_person_id),
    FOREIGN KEY (business_id, osha_establishment_id, safety_incident_id)
        REFERENCES hs.safety_incident (business_id, osha_establishment_id, safety_incident_id),
    FOREIGN KEY (business_id, safety_incident_id, incident_person_id)
        REFERENCES hs.incident_person (business_id, safety_incident_id, incident_person_id),
    CONSTRAINT osha_case_injury_type_known
        CHECK (injury_type IN ('injury', 'skin_disorder', 'respiratory_condition', 'poisoning',
                               'hearing_loss', 'all_other_illness')),
    CONSTRAINT osha_case_recorded_after_event CHECK (recorded_on >= event_on),
    CONSTRAINT osha_case_died_after_event CHECK (died_on >= event_on),
    CONSTRAINT osha_case_days_bounded
        CHECK (days_away_count BETWEEN 0 AND 180 AND days_restricted_count BETWEEN 0 AND 180)
);

COMMENT ON TABLE hs.osha_case IS
    'One line of the form 300 of its year: the worst outcome of one person''s injury or illness.';
COMMENT ON COLUMN hs.osha_case.log_year IS 'The year of the event, in whose log it stays.';
COMMENT ON COLUMN hs.osha_case.employee_name IS
    'The name on the confidential list; the log shows it unless it is a privacy case.';
COMMENT ON COLUMN hs.osha_case.outcome IS
    'The worst that came of it, by death and the days counted; it cannot be set.';
COMMENT ON COLUMN hs.osha_case.days_away_count IS
    'Counted from the periods of the case, up to the cap of the establishment.';
COMMENT ON COLUMN hs.osha_case.is_removed IS
    'Lined out, because it was not recordable after all; not counted.';

-- FK: the log of an establishment and year has its UNIQUE; this one finds the cases of an incident.
CREATE INDEX osha_case_incident_idx
    ON hs.osha_case (business_id, osha_establishment_id, safety_incident_id);

ALTER TABLE hs.osha_case ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.osha_case
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.osha_case TO app_user;
GRANT SELECT ON hs.osha_case TO app_readonly;

CREATE TRIGGER osha_case_touch
    BEFORE UPDATE ON hs.osha_case
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.refuse_counted_days() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'the days of case % are counted from its periods', NEW.case_number
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Change hs.osha_restriction_period instead.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.refuse_counted_days() IS
    'Nobody but the trigger of the periods sets the counts; who imports may bring counts without
     periods.';

CREATE TRIGGER osha_case_counted_insert
    BEFORE INSERT ON hs.osha_case
    FOR EACH ROW WHEN (NEW.days_away_count > 0 OR NEW.days_restricted_count > 0)
    EXECUTE FUNCTION hs.refuse_counted_days();

CREATE TRIGGER osha_case_counted_update
    BEFORE UPDATE OF days_away_count, days_restricted_count ON hs.osha_case
    FOR EACH ROW WHEN (pg_trigger_depth() = 0)
    EXECUTE FUNCTION hs.refuse_counted_days();


CREATE TABLE hs.osha_301_report (
    business_id           uuid        NOT NULL,
    osha_301_report_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    osha_case_id          uuid        NOT NULL,
    birth_on              date,
    hired_on              date,
    sex                   text        NOT NULL DEFAULT 'undisclosed',
    physician_name        system_core.person_name,
    facility_name         text,
    facility_address      text,
    is_emergency_room     boolean     NOT NULL DEFAULT false,
    is_inpatient          boolean     NOT NULL DEFAULT false,
    work_started_time     time,
    event_time            time,
    activity_before_event text,
    what_happened         text,
    injury_detail         text,
    harming_object        text,
    due_on                date        NOT NULL,
    completed_by_name     system_core.person_name,
    completed_on          date,
    late_reason           text,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, osha_301_report_id),
    UNIQUE (business_id, osha_case_id),
    FOREIGN KEY (business_id, osha_case_id)
        REFERENCES hs.osha_case (business_id, osha_case_id) ON DELETE CASCADE,
    CONSTRAINT osha_301_report_sex_known CHECK (sex IN ('m', 'f', 'x', 'undisclosed')),
    CONSTRAINT osha_301_report_hired_after_birth CHECK (hired_on >= birth_on),
    CONSTRAINT osha_301_report_completed_by_somebody
        CHECK ((completed_on IS NULL) = (completed_by_name IS NULL)),
    CONSTRAINT osha_301_report_complete_tells_all
        CHECK (completed_on IS NULL
               OR num_nulls(activity_before_event, what_happened, injury_detail) = 0),
    CONSTRAINT osha_301_report_late_has_reason
        CHECK (completed_on <= due_on OR late_reason IS NOT NULL)
);

COMMENT ON TABLE hs.osha_301_report IS
    'The incident report of a case (form 301): the person, the treatment, and what happened.';
COMMENT ON COLUMN hs.osha_301_report.event_time IS 'NULL where it cannot be determined.';
COMMENT ON COLUMN hs.osha_301_report.due_on IS
    'The days of the establishment after the employer learned of the incident.';
COMMENT ON COLUMN hs.osha_301_report.late_reason IS
    'Why it was completed after it was due; an inspector will ask.';

-- What is not yet complete, the most urgent first.
CREATE INDEX osha_301_report_due_idx
    ON hs.osha_301_report (business_id, due_on)
    WHERE completed_on IS NULL;

ALTER TABLE hs.osha_301_report ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.osha_301_report
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.osha_301_report TO app_user;
GRANT SELECT ON hs.osha_301_report TO app_readonly;

CREATE TRIGGER osha_301_report_touch
    BEFORE UPDATE ON hs.osha_301_report
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.set_301_due_date() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    SELECT (i.reported_at AT TIME ZONE b.time_zone)::date + e.record_within_days
    INTO NEW.due_on
    FROM hs.osha_case AS c
    JOIN hs.safety_incident AS i
        ON i.business_id = c.business_id AND i.safety_incident_id = c.safety_incident_id
    JOIN hs.osha_establishment AS e
        ON e.business_id = c.business_id AND e.osha_establishment_id = c.osha_establishment_id
    JOIN hs.branch AS b ON b.business_id = e.business_id AND b.branch_id = e.branch_id
    WHERE c.business_id = NEW.business_id AND c.osha_case_id = NEW.osha_case_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.set_301_due_date() IS
    'Calendar days of the branch, from the day on which the employer learned of the incident.';

CREATE TRIGGER osha_301_report_due
    BEFORE INSERT ON hs.osha_301_report
    FOR EACH ROW EXECUTE FUNCTION hs.set_301_due_date();


CREATE TABLE hs.osha_restriction_period (
    business_id                uuid        NOT NULL,
    osha_restriction_period_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    osha_case_id               uuid        NOT NULL,
    work_status_file_object_id uuid,
    period_kind                text        NOT NULL,
    starts_on                  date        NOT NULL,
    ends_on                    date        NOT NULL,
    day_count                  integer     NOT NULL
        GENERATED ALWAYS AS (ends_on - starts_on + 1) STORED,
    counted_days               integer     NOT NULL DEFAULT 0,
    is_capped                  boolean     NOT NULL
        GENERATED ALWAYS AS (counted_days < ends_on - starts_on + 1) STORED,
    restriction_text           text,
    physician_release_on       date,
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, osha_restriction_period_id),
    FOREIGN KEY (business_id, osha_case_id)
        REFERENCES hs.osha_case (business_id, osha_case_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, work_status_file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    CONSTRAINT osha_restriction_period_kind_known
        CHECK (period_kind IN ('days_away', 'restricted', 'transferred')),
    CONSTRAINT osha_restriction_period_ends_after_start CHECK (ends_on >= starts_on),
    CONSTRAINT osha_restriction_period_released_after_start
        CHECK (physician_release_on >= starts_on),
    CONSTRAINT osha_restriction_period_counted_bounded
        CHECK (counted_days BETWEEN 0 AND ends_on - starts_on + 1),
    CONSTRAINT osha_restriction_period_restriction_is_told
        CHECK (period_kind <> 'restricted' OR restriction_text IS NOT NULL),
    CONSTRAINT osha_restriction_period_one_at_a_time EXCLUDE USING gist (
        business_id WITH =, osha_case_id WITH =, daterange(starts_on, ends_on, '[]') WITH &&)
);

COMMENT ON TABLE hs.osha_restriction_period IS
    'A span of calendar days away from work or on restricted duty, weekends included.';
COMMENT ON COLUMN hs.osha_restriction_period.ends_on IS
    'The last day; while it runs, the physician''s estimate.';
COMMENT ON COLUMN hs.osha_restriction_period.counted_days IS
    'Its days that count for the case: what the cap of the establishment leaves, in order of time.';

-- FK: the spans of a case in order of time.
CREATE INDEX osha_restriction_period_case_idx
    ON hs.osha_restriction_period (business_id, osha_case_id, starts_on);

-- FK: the span that a physician's note proves.
CREATE INDEX osha_restriction_period_file_idx
    ON hs.osha_restriction_period (business_id, work_status_file_object_id)
    WHERE work_status_file_object_id IS NOT NULL;

ALTER TABLE hs.osha_restriction_period ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.osha_restriction_period
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.osha_restriction_period TO app_user;
GRANT SELECT ON hs.osha_restriction_period TO app_readonly;

CREATE TRIGGER osha_restriction_period_touch
    BEFORE UPDATE ON hs.osha_restriction_period
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE hs.osha_300a_summary (
    business_id            uuid                    NOT NULL,
    osha_300a_summary_id   uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    osha_establishment_id  uuid                    NOT NULL,
    log_year               integer                 NOT NULL,
    average_employee_count integer                 NOT NULL,
    total_hours_worked     numeric(12, 2)          NOT NULL,
    death_count            integer                 NOT NULL DEFAULT 0,
    days_away_case_count   integer                 NOT NULL DEFAULT 0,
    restricted_case_count  integer                 NOT NULL DEFAULT 0,
    other_case_count       integer                 NOT NULL DEFAULT 0,
    days_away_total_days   integer                 NOT NULL DEFAULT 0,
    restricted_total_days  integer                 NOT NULL DEFAULT 0,
    injury_count           integer                 NOT NULL DEFAULT 0,
    illness_breakdown      system_core.json_object NOT NULL,
    rate_base_hours        integer                 NOT NULL DEFAULT 200000,
    trir_rate              system_core.rate
        GENERATED ALWAYS AS (round(
            rate_base_hours * (death_count + days_away_case_count + restricted_case_count
                               + other_case_count)::numeric
            / nullif(total_hours_worked, 0), 2)) STORED,
    dart_rate              system_core.rate
        GENERATED ALWAYS AS (round(
            rate_base_hours * (days_away_case_count + restricted_case_count)::numeric
            / nullif(total_hours_worked, 0), 2)) STORED,
    certified_by_name      system_core.person_name,
    certified_title        text,
    certified_on           date,
    posted_from_on         date,
    posted_until_on        date,
    created_at             timestamptz             NOT NULL DEFAULT now(),
    updated_at             timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, osha_300a_summary_id),
    UNIQUE (business_id, osha_establishment_id, log_year),
    UNIQUE (business_id, osha_establishment_id, log_year, osha_300a_summary_id),
    FOREIGN KEY (business_id, osha_establishment_id)
        REFERENCES hs.osha_establishment (business_id, osha_establishment_id),
    CONSTRAINT osha_300a_summary_year_known CHECK (log_year BETWEEN 1971 AND 2200),
    CONSTRAINT osha_300a_summary_counts_not_negative
        CHECK (least(average_employee_count, total_hours_worked, death_count,
                     days_away_case_count, restricted_case_count, other_case_count,
                     days_away_total_days, restricted_total_days, injury_count) >= 0),
    CONSTRAINT osha_300a_summary_injuries_are_cases
        CHECK (injury_count <= death_count + days_away_case_count + restricted_case_count
                               + other_case_count),
    CONSTRAINT osha_300a_summary_certified_by_somebody
        CHECK (num_nulls(certified_by_name, certified_title, certified_on) IN (0, 3)),
    CONSTRAINT osha_300a_summary_certified_after_the_year
        CHECK (certified_on > make_date(log_year, 12, 31)),
    CONSTRAINT osha_300a_summary_posted_is_whole
        CHECK ((posted_from_on IS NULL) = (posted_until_on IS NULL)),
    CONSTRAINT osha_300a_summary_posted_is_certified
        CHECK (posted_from_on IS NULL OR certified_on IS NOT NULL),
    CONSTRAINT osha_300a_summary_posted_february_to_april
        CHECK (posted_from_on BETWEEN certified_on AND make_date(log_year + 1, 2, 1)
               AND posted_until_on >= make_date(log_year + 1, 4, 30))
);

COMMENT ON TABLE hs.osha_300a_summary IS
    'The year of an establishment on one page (form 300A): cases, days, hours, and who certified
     it. The columns of counts are those of the form.';
COMMENT ON COLUMN hs.osha_300a_summary.illness_breakdown IS
    'Object of illness column of the form to its number of cases; injuries are injury_count.';
COMMENT ON COLUMN hs.osha_300a_summary.average_employee_count IS
    'Mean of the months, rounded up, as the worksheet of the form has it.';
COMMENT ON COLUMN hs.osha_300a_summary.trir_rate IS
    'Total recordable incident rate: all cases per rate_base_hours worked.';
COMMENT ON COLUMN hs.osha_300a_summary.dart_rate IS
    'Cases with days away, restriction or transfer, per rate_base_hours worked.';
COMMENT ON COLUMN hs.osha_300a_summary.certified_on IS
    'Since when the year is closed. Taken back, the year can be corrected and certified again.';
COMMENT ON COLUMN hs.osha_300a_summary.posted_from_on IS
    'The page hangs where notices hang, from 1 February to 30 April of the next year or longer.';

ALTER TABLE hs.osha_300a_summary ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.osha_300a_summary
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.osha_300a_summary TO app_user;
GRANT SELECT ON hs.osha_300a_summary TO app_readonly;

CREATE TRIGGER osha_300a_summary_touch
    BEFORE UPDATE ON hs.osha_300a_summary
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION hs.osha_year_totals(tenant uuid, establishment uuid, for_year integer)
    RETURNS TABLE (
        average_employee_count integer, total_hours_worked numeric, death_count integer,
        days_away_case_count integer, restricted_case_count integer, other_case_count integer,
        days_away_total_days integer, restricted_total_days integer, injury_count integer,
        illness_breakdown jsonb)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT h.employees, h.hours, c.deaths, c.away, c.restricted, c.other, c.days_away,
           c.days_restricted, c.injuries, c.illnesses
    FROM (
        SELECT coalesce(ceil(avg(w.employee_count)), 0)::integer AS employees,
               coalesce(sum(w.hours_worked), 0) AS hours
        FROM hs.osha_hours_worked AS w
        WHERE w.business_id = tenant AND w.osha_establishment_id = establishment
          AND w.month_on BETWEEN make_date(for_year, 1, 1) AND make_date(for_year, 12, 1)
    ) AS h
    CROSS JOIN (
        SELECT count(*) FILTER (WHERE k.outcome = 'death')::integer AS deaths,
               count(*) FILTER (WHERE k.outcome = 'days_away')::integer AS away,
               count(*) FILTER (WHERE k.outcome = 'job_transfer_restriction')::integer
                   AS restricted,
               count(*) FILTER (WHERE k.outcome = 'other_recordable')::integer AS other,
               coalesce(sum(k.days_away_count), 0)::integer AS days_away,
               coalesce(sum(k.days_restricted_count), 0)::integer AS days_restricted,
               count(*) FILTER (WHERE k.injury_type = 'injury')::integer AS injuries,
               jsonb_build_object(
                   'skin_disorder', count(*) FILTER (WHERE k.injury_type = 'skin_disorder'),
                   'respiratory_condition',
                   count(*) FILTER (WHERE k.injury_type = 'respiratory_condition'),
                   'poisoning', count(*) FILTER (WHERE k.injury_type = 'poisoning'),
                   'hearing_loss', count(*) FILTER (WHERE k.injury_type = 'hearing_loss'),
                   'all_other_illness',
                   count(*) FILTER (WHERE k.injury_type = 'all_other_illness')) AS illnesses
        FROM hs.osha_case AS k
        WHERE k.business_id = tenant AND k.osha_establishment_id = establishment
          AND k.log_year = for_year AND NOT k.is_removed
    ) AS c;
END;
COMMENT ON FUNCTION hs.osha_year_totals(uuid, uuid, integer) IS
    'The figures of the form 300A as cases and hours of the year stand now.';

CREATE FUNCTION hs.require_true_300a() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Waits for whoever is changing the year (guard_certified_year), and makes them wait.
    PERFORM FROM hs.osha_establishment AS e
    WHERE e.business_id = NEW.business_id AND e.osha_establishment_id = NEW.osha_establishment_id
    FOR UPDATE;
    IF (NEW.average_employee_count, NEW.total_hours_worked, NEW.death_count,
        NEW.days_away_case_count, NEW.restricted_case_count, NEW.other_case_count,
        NEW.days_away_total_days, NEW.restricted_total_days, NEW.injury_count,
        NEW.illness_breakdown::jsonb)
        IS DISTINCT FROM
       (SELECT (t.average_employee_count, t.total_hours_worked, t.death_count,
                t.days_away_case_count, t.restricted_case_count, t.other_case_count,
                t.days_away_total_days, t.restricted_total_days, t.injury_count,
                t.illness_breakdown)
        FROM hs.osha_year_totals(NEW.business_id, NEW.osha_establishment_id, NEW.log_year) AS t)
    THEN
        RAISE EXCEPTION 'the summary of % is not what cases and hours sum to', NEW.log_year
            USING ERRCODE = 'check_violation',
                  HINT = 'Build it anew (hs.build_osha_300a), then certify it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_true_300a() IS
    'What is certified equals the cases and hours of the year, and stays so.';

CREATE TRIGGER osha_300a_summary_true
    BEFORE INSERT OR UPDATE ON hs.osha_300a_summary
    FOR EACH ROW WHEN (NEW.certified_on IS NOT NULL)
    EXECUTE FUNCTION hs.require_true_300a();

CREATE TRIGGER osha_300a_summary_keep_certified
    BEFORE DELETE ON hs.osha_300a_summary
    FOR EACH ROW WHEN (OLD.certified_on IS NOT NULL)
    EXECUTE FUNCTION system_core.refuse_change('a certified summary');


-- What a certified year is made of stays as it is: hours, cases, and the days of cases.

CREATE FUNCTION hs.guard_certified_year() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    closed integer;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    -- No certification while rows change: it waits for this lock, then sees them.
    PERFORM FROM hs.osha_establishment AS e
    WHERE (e.business_id, e.osha_establishment_id) IN (
        SELECT c.business_id, c.osha_establishment_id FROM changed AS c)
    FOR KEY SHARE;
    SELECT s.log_year INTO closed
    FROM changed AS c
    JOIN hs.osha_300a_summary AS s
        ON s.business_id = c.business_id AND s.osha_establishment_id = c.osha_establishment_id
       AND s.log_year = extract(year FROM (to_jsonb(c) ->> TG_ARGV[0])::date)::integer
    WHERE s.certified_on IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the log of % is certified', closed
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Take the certification back, correct the year, and certify it again.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.guard_certified_year() IS
    'Refuses a change of hours or cases of a certified year; the argument is the column that
     holds the day. A role that bypasses row security imports history.';

CREATE TRIGGER osha_hours_worked_guard_insert
    AFTER INSERT ON hs.osha_hours_worked
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_year('month_on');

CREATE TRIGGER osha_hours_worked_guard_update_from
    AFTER UPDATE ON hs.osha_hours_worked
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_year('month_on');

CREATE TRIGGER osha_hours_worked_guard_update_to
    AFTER UPDATE ON hs.osha_hours_worked
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_year('month_on');

CREATE TRIGGER osha_hours_worked_guard_delete
    AFTER DELETE ON hs.osha_hours_worked
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_year('month_on');

CREATE TRIGGER osha_case_guard_insert
    AFTER INSERT ON hs.osha_case
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_year('event_on');

CREATE TRIGGER osha_case_guard_update_from
    AFTER UPDATE ON hs.osha_case
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_year('event_on');

CREATE TRIGGER osha_case_guard_update_to
    AFTER UPDATE ON hs.osha_case
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_year('event_on');

CREATE TRIGGER osha_case_guard_delete
    AFTER DELETE ON hs.osha_case
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_year('event_on');

CREATE FUNCTION hs.require_days_after_event() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    wrong record;
BEGIN
    SELECT k.case_number, k.event_on INTO wrong
    FROM changed AS c
    JOIN hs.osha_case AS k ON k.business_id = c.business_id AND k.osha_case_id = c.osha_case_id
    JOIN hs.osha_restriction_period AS p
        ON p.business_id = k.business_id AND p.osha_case_id = k.osha_case_id
    WHERE p.starts_on <= k.event_on
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the days of case % count from the day after %', wrong.case_number,
                        wrong.event_on
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_days_after_event() IS
    'The day of the event is not a day away, whatever is left of it.';

CREATE TRIGGER osha_case_days_after_event
    AFTER UPDATE ON hs.osha_case
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_days_after_event();

CREATE TRIGGER osha_restriction_period_after_event_insert
    AFTER INSERT ON hs.osha_restriction_period
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_days_after_event();

CREATE TRIGGER osha_restriction_period_after_event_update
    AFTER UPDATE ON hs.osha_restriction_period
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_days_after_event();

CREATE FUNCTION hs.count_restricted_days() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM changed) THEN
        RETURN NULL;
    END IF;
    -- One writer of a case at a time, so that two spans of it do not miss each other.
    PERFORM FROM hs.osha_case AS k
    WHERE (k.business_id, k.osha_case_id) IN (
        SELECT c.business_id, c.osha_case_id FROM changed AS c)
    ORDER BY k.business_id, k.osha_case_id
    FOR NO KEY UPDATE;

    UPDATE hs.osha_restriction_period AS p
    SET counted_days = n.counted
    FROM (
        SELECT x.business_id, x.osha_restriction_period_id,
               greatest(0, least(x.day_count, e.day_count_cap + x.day_count - sum(x.day_count)
                   OVER (PARTITION BY x.business_id, x.osha_case_id
                         ORDER BY x.starts_on)))                                      AS counted
        FROM hs.osha_restriction_period AS x
        JOIN hs.osha_case AS k
            ON k.business_id = x.business_id AND k.osha_case_id = x.osha_case_id
        JOIN hs.osha_establishment AS e
            ON e.business_id = k.business_id AND e.osha_establishment_id = k.osha_establishment_id
        WHERE (x.business_id, x.osha_case_id) IN (
            SELECT c.business_id, c.osha_case_id FROM changed AS c)
    ) AS n
    WHERE p.business_id = n.business_id
      AND p.osha_restriction_period_id = n.osha_restriction_period_id
      AND p.counted_days <> n.counted;

    UPDATE hs.osha_case AS k
    SET days_away_count = n.away, days_restricted_count = n.restricted
    FROM (
        SELECT c.business_id, c.osha_case_id,
               coalesce(sum(p.counted_days) FILTER (WHERE p.period_kind = 'days_away'), 0)
                   AS away,
               coalesce(sum(p.counted_days) FILTER (WHERE p.period_kind <> 'days_away'), 0)
                   AS restricted
        FROM (SELECT DISTINCT x.business_id, x.osha_case_id FROM changed AS x) AS c
        LEFT JOIN hs.osha_restriction_period AS p
            ON p.business_id = c.business_id AND p.osha_case_id = c.osha_case_id
        GROUP BY c.business_id, c.osha_case_id
    ) AS n
    WHERE k.business_id = n.business_id AND k.osha_case_id = n.osha_case_id
      AND (k.days_away_count, k.days_restricted_count) IS DISTINCT FROM (n.away, n.restricted);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.count_restricted_days() IS
    'Counts the days of the cases whose periods changed, in order of time up to the cap of the
     establishment; the outcome of the case follows from the counts.';

CREATE TRIGGER osha_restriction_period_count_insert
    AFTER INSERT ON hs.osha_restriction_period
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_restricted_days();

CREATE TRIGGER osha_restriction_period_count_update_from
    AFTER UPDATE ON hs.osha_restriction_period
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_restricted_days();

CREATE TRIGGER osha_restriction_period_count_update_to
    AFTER UPDATE ON hs.osha_restriction_period
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_restricted_days();

CREATE TRIGGER osha_restriction_period_count_delete
    AFTER DELETE ON hs.osha_restriction_period
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.count_restricted_days();

CREATE FUNCTION hs.guard_certified_days() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    closed record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    PERFORM FROM hs.osha_establishment AS e
    WHERE (e.business_id, e.osha_establishment_id) IN (
        SELECT k.business_id, k.osha_establishment_id
        FROM changed AS c
        JOIN hs.osha_case AS k
            ON k.business_id = c.business_id AND k.osha_case_id = c.osha_case_id)
    FOR KEY SHARE;
    SELECT k.case_number, k.log_year INTO closed
    FROM changed AS c
    JOIN hs.osha_case AS k ON k.business_id = c.business_id AND k.osha_case_id = c.osha_case_id
    JOIN hs.osha_300a_summary AS s
        ON s.business_id = k.business_id AND s.osha_establishment_id = k.osha_establishment_id
       AND s.log_year = k.log_year
    WHERE s.certified_on IS NOT NULL
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the log of % is certified, with the days of case %', closed.log_year,
                        closed.case_number
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Take the certification back, correct the year, and certify it again.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.guard_certified_days() IS
    'Refuses a change of days of a case whose year is certified, even one that the cap hides.';

CREATE TRIGGER osha_restriction_period_guard_insert
    AFTER INSERT ON hs.osha_restriction_period
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_days();

CREATE TRIGGER osha_restriction_period_guard_update_from
    AFTER UPDATE ON hs.osha_restriction_period
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_days();

CREATE TRIGGER osha_restriction_period_guard_update_to
    AFTER UPDATE ON hs.osha_restriction_period
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_days();

CREATE TRIGGER osha_restriction_period_guard_delete
    AFTER DELETE ON hs.osha_restriction_period
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.guard_certified_days();


CREATE FUNCTION hs.build_osha_300a(establishment uuid, for_year integer)
    RETURNS hs.osha_300a_summary
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    built  hs.osha_300a_summary;
BEGIN
    INSERT INTO hs.osha_300a_summary AS s
        (business_id, osha_establishment_id, log_year, rate_base_hours, average_employee_count,
         total_hours_worked, death_count, days_away_case_count, restricted_case_count,
         other_case_count, days_away_total_days, restricted_total_days, injury_count,
         illness_breakdown)
    SELECT e.business_id, e.osha_establishment_id, for_year, e.rate_base_hours,
           t.average_employee_count, t.total_hours_worked, t.death_count,
           t.days_away_case_count, t.restricted_case_count, t.other_case_count,
           t.days_away_total_days, t.restricted_total_days, t.injury_count, t.illness_breakdown
    FROM hs.osha_establishment AS e
    CROSS JOIN LATERAL hs.osha_year_totals(tenant, establishment, for_year) AS t
    WHERE e.business_id = tenant AND e.osha_establishment_id = establishment
      AND t.total_hours_worked > 0
    ON CONFLICT (business_id, osha_establishment_id, log_year) DO UPDATE
    SET rate_base_hours = excluded.rate_base_hours,
        average_employee_count = excluded.average_employee_count,
        total_hours_worked = excluded.total_hours_worked,
        death_count = excluded.death_count,
        days_away_case_count = excluded.days_away_case_count,
        restricted_case_count = excluded.restricted_case_count,
        other_case_count = excluded.other_case_count,
        days_away_total_days = excluded.days_away_total_days,
        restricted_total_days = excluded.restricted_total_days,
        injury_count = excluded.injury_count,
        illness_breakdown = excluded.illness_breakdown
    WHERE s.certified_on IS NULL
    RETURNING s.* INTO built;
    IF FOUND THEN
        RETURN built;
    END IF;
    IF EXISTS (SELECT FROM hs.osha_300a_summary AS s
               WHERE s.business_id = tenant AND s.osha_establishment_id = establishment
                 AND s.log_year = for_year AND s.certified_on IS NOT NULL) THEN
        RAISE EXCEPTION 'the summary of % is certified', for_year
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Take the certification back before building it anew.';
    END IF;
    RAISE EXCEPTION 'the establishment has no hours in %', for_year
        USING ERRCODE = 'no_data_found',
              HINT = 'Enter its hours by month (hs.osha_hours_worked) first.';
END
$$;
COMMENT ON FUNCTION hs.build_osha_300a(uuid, integer) IS
    'Sums cases and hours of a year of an establishment of the tenant into its form 300A, again
     as long as it is not certified; TRIR and DART follow from the sums.';


CREATE VIEW hs.v_osha_300_log WITH (security_invoker = true) AS
SELECT k.business_id, k.osha_establishment_id, e.establishment_name, k.log_year, k.osha_case_id,
       k.case_number,
       CASE WHEN k.is_privacy_case THEN 'Privacy case' ELSE k.employee_name END AS employee_name,
       k.job_title, k.event_on, k.where_occurred, k.description,
       k.outcome = 'death' AS is_death,
       k.outcome = 'days_away' AS is_days_away,
       k.outcome = 'job_transfer_restriction' AS is_restricted,
       k.outcome = 'other_recordable' AS is_other,
       k.days_away_count, k.days_restricted_count, k.injury_type,
       k.is_removed,
       k.recorded_on > (i.reported_at AT TIME ZONE b.time_zone)::date + e.record_within_days
           AS is_late_entry
FROM hs.osha_case AS k
JOIN hs.osha_establishment AS e
    ON e.business_id = k.business_id AND e.osha_establishment_id = k.osha_establishment_id
JOIN hs.branch AS b ON b.business_id = e.business_id AND b.branch_id = e.branch_id
JOIN hs.safety_incident AS i
    ON i.business_id = k.business_id AND i.safety_incident_id = k.safety_incident_id
WHERE k.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_osha_300_log IS
    'Form 300 per establishment and year, in its columns; names are masked for privacy cases.
     Removed lines stay visible, as lined out.';
GRANT SELECT ON hs.v_osha_300_log TO app_user, app_readonly;


CREATE TABLE hs.ita_submission (
    business_id           uuid                    NOT NULL,
    ita_submission_id     uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    osha_establishment_id uuid                    NOT NULL,
    osha_300a_summary_id  uuid,
    filing_year           integer                 NOT NULL,
    submission_kind       text                    NOT NULL,
    status                text                    NOT NULL DEFAULT 'pending',
    payload               system_core.json_object NOT NULL,
    payload_hash          text                    NOT NULL,
    change_reason         text,
    due_on                date                    NOT NULL,
    sent_at               timestamptz,
    http_status           integer,
    response_body         jsonb,
    confirmation_ref      text,
    created_at            timestamptz             NOT NULL DEFAULT now(),
    updated_at            timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, ita_submission_id),
    FOREIGN KEY (business_id, osha_establishment_id)
        REFERENCES hs.osha_establishment (business_id, osha_establishment_id),
    FOREIGN KEY (business_id, osha_establishment_id, filing_year, osha_300a_summary_id)
        REFERENCES hs.osha_300a_summary
            (business_id, osha_establishment_id, log_year, osha_300a_summary_id),
    CONSTRAINT ita_submission_kind_known
        CHECK (submission_kind IN ('form_300a', 'case_data', 'complete')),
    CONSTRAINT ita_submission_status_known
        CHECK (status IN ('pending', 'sent', 'accepted', 'rejected', 'superseded')),
    CONSTRAINT ita_submission_hash_shape CHECK (payload_hash ~ '^[0-9a-f]{64}$'),
    CONSTRAINT ita_submission_summary_is_named
        CHECK (submission_kind = 'case_data' OR osha_300a_summary_id IS NOT NULL),
    CONSTRAINT ita_submission_sent_has_time
        CHECK ((status = 'pending') = (sent_at IS NULL)),
    CONSTRAINT ita_submission_answer_has_code
        CHECK (status IN ('pending', 'sent') OR http_status IS NOT NULL),
    CONSTRAINT ita_submission_http_status_known CHECK (http_status BETWEEN 100 AND 599),
    CONSTRAINT ita_submission_accepted_is_confirmed
        CHECK (status NOT IN ('accepted', 'superseded')
               OR (http_status BETWEEN 200 AND 299 AND confirmation_ref IS NOT NULL)),
    CONSTRAINT ita_submission_due_after_the_year CHECK (due_on > make_date(filing_year, 12, 31))
);

COMMENT ON TABLE hs.ita_submission IS
    'A filing of a year with the Injury Tracking Application: what was sent and what came back.';
COMMENT ON COLUMN hs.ita_submission.filing_year IS 'The year of the log that is filed.';
COMMENT ON COLUMN hs.ita_submission.payload IS 'In the field names of the application.';
COMMENT ON COLUMN hs.ita_submission.payload_hash IS 'SHA-256 of the payload, derived.';
COMMENT ON COLUMN hs.ita_submission.response_body IS
    'The answer; errors is an array of {"field", "code", "message"}.';
COMMENT ON COLUMN hs.ita_submission.change_reason IS
    'Why it is filed again after one was accepted.';

-- FK, and the filings of an establishment and year.
CREATE INDEX ita_submission_establishment_idx
    ON hs.ita_submission (business_id, osha_establishment_id, filing_year, osha_300a_summary_id);

-- One filing of a year and kind is in force.
CREATE UNIQUE INDEX ita_submission_accepted_idx
    ON hs.ita_submission (business_id, osha_establishment_id, filing_year, submission_kind)
    WHERE status = 'accepted';

ALTER TABLE hs.ita_submission ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.ita_submission
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.ita_submission TO app_user;
GRANT SELECT ON hs.ita_submission TO app_readonly;

CREATE TRIGGER ita_submission_touch
    BEFORE UPDATE ON hs.ita_submission
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER ita_submission_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.ita_submission
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["pending"],
        "transitions": {
            "pending":    ["sent"],
            "sent":       ["accepted", "rejected"],
            "accepted":   ["superseded"],
            "rejected":   [],
            "superseded": []
        }}');

CREATE FUNCTION hs.hash_ita_payload() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF OLD.status <> 'pending' AND NEW.payload <> OLD.payload
            AND row_security_active(TG_RELID) THEN
            RAISE EXCEPTION 'what was sent does not change'
                USING ERRCODE = 'restrict_violation', HINT = 'File it again.';
        END IF;
    END IF;
    NEW.payload_hash := encode(sha256(convert_to(NEW.payload::text, 'UTF8')), 'hex');
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.hash_ita_payload() IS
    'Proves later what was sent; the payload of a filing that left does not change.';

CREATE TRIGGER ita_submission_hash
    BEFORE INSERT OR UPDATE OF payload, payload_hash ON hs.ita_submission
    FOR EACH ROW EXECUTE FUNCTION hs.hash_ita_payload();

CREATE FUNCTION hs.require_change_reason() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    again record;
BEGIN
    SELECT c.filing_year, c.submission_kind INTO again
    FROM changed AS c
    JOIN hs.ita_submission AS s
        ON s.business_id = c.business_id AND s.osha_establishment_id = c.osha_establishment_id
       AND s.filing_year = c.filing_year AND s.submission_kind = c.submission_kind
    WHERE c.change_reason IS NULL AND c.status IN ('pending', 'sent') AND s.status = 'accepted'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the % of % was accepted: filing it again needs a reason',
                        again.submission_kind, again.filing_year
            USING ERRCODE = 'check_violation', HINT = 'Say what changed in change_reason.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION hs.require_change_reason() IS
    'Who files again what was accepted says why.';

CREATE TRIGGER ita_submission_change_reason_insert
    AFTER INSERT ON hs.ita_submission
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_change_reason();

CREATE TRIGGER ita_submission_change_reason_update
    AFTER UPDATE ON hs.ita_submission
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION hs.require_change_reason();


CREATE FUNCTION hs.ita_payload(tenant uuid, summary uuid) RETURNS jsonb
    LANGUAGE sql STABLE
    RETURN (
        SELECT jsonb_build_object(
            'establishment_name', e.establishment_name,
            'company', jsonb_build_object('company_name', e.legal_company_name),
            'ein', e.ein,
            'address', jsonb_build_object('street', e.street_address, 'city', e.city,
                                          'state', e.region_code, 'zip', e.postal_code),
            'naics', jsonb_build_object('naics_code', e.naics_code,
                                        'industry_description', e.industry_description),
            'size', CASE e.size_band WHEN 'under_20' THEN 1 WHEN '20_to_99' THEN 21
                                     WHEN '100_to_249' THEN 22 ELSE 3 END,
            'establishment_type', 1,
            'year_filing_for', s.log_year,
            'annual_average_employees', s.average_employee_count,
            'total_hours_worked', round(s.total_hours_worked)::bigint,
            'no_injuries_illnesses',
            CASE WHEN s.death_count + s.days_away_case_count + s.restricted_case_count
                      + s.other_case_count > 0 THEN 1 ELSE 2 END,
            'total_deaths', s.death_count,
            'total_dafw_cases', s.days_away_case_count,
            'total_djtr_cases', s.restricted_case_count,
            'total_other_cases', s.other_case_count,
            'total_dafw_days', s.days_away_total_days,
            'total_djtr_days', s.restricted_total_days,
            'total_injuries', s.injury_count,
            'total_skin_disorders', i.skin_disorders,
            'total_respiratory_conditions', i.respiratory_conditions,
            'total_poisonings', i.poisonings,
            'total_hearing_loss', i.hearing_losses,
            'total_other_illnesses', i.other_illnesses)
        FROM hs.osha_300a_summary AS s
        JOIN hs.osha_establishment AS e
            ON e.business_id = s.business_id
           AND e.osha_establishment_id = s.osha_establishment_id
        CROSS JOIN JSON_TABLE(s.illness_breakdown::jsonb, '$' COLUMNS (
            skin_disorders         integer PATH '$.skin_disorder' DEFAULT 0 ON EMPTY,
            respiratory_conditions integer PATH '$.respiratory_condition' DEFAULT 0 ON EMPTY,
            poisonings             integer PATH '$.poisoning' DEFAULT 0 ON EMPTY,
            hearing_losses         integer PATH '$.hearing_loss' DEFAULT 0 ON EMPTY,
            other_illnesses        integer PATH '$.all_other_illness' DEFAULT 0 ON EMPTY)) AS i
        WHERE s.business_id = tenant AND s.osha_300a_summary_id = summary);
COMMENT ON FUNCTION hs.ita_payload(uuid, uuid) IS
    'A form 300A in the field names and codes of the Injury Tracking Application; an industry
     that had no case says so in no_injuries_illnesses (2).';


CREATE FUNCTION hs.record_ita_response(submission uuid, code integer, body jsonb) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    filing hs.ita_submission;
    errors integer;
    became text;
BEGIN
    SELECT * INTO filing FROM hs.ita_submission AS s
    WHERE s.business_id = tenant AND s.ita_submission_id = submission
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such filing' USING ERRCODE = 'no_data_found';
    END IF;
    SELECT count(*) INTO errors
    FROM JSON_TABLE(body, '$.errors[*]' COLUMNS (message text PATH '$.message')) AS e;
    became := CASE WHEN code BETWEEN 200 AND 299 AND errors = 0 THEN 'accepted'
                   ELSE 'rejected' END;

    IF became = 'accepted' THEN
        UPDATE hs.ita_submission AS s SET status = 'superseded'
        WHERE s.business_id = tenant
          AND s.osha_establishment_id = filing.osha_establishment_id
          AND s.filing_year = filing.filing_year
          AND s.submission_kind = filing.submission_kind AND s.status = 'accepted'
          AND s.ita_submission_id <> submission;
    END IF;
    UPDATE hs.ita_submission AS s
    SET status = became, http_status = code, response_body = body,
        confirmation_ref = CASE became WHEN 'accepted' THEN
            coalesce(body ->> 'confirmation_ref', body ->> 'id', submission::text) END
    WHERE s.business_id = tenant AND s.ita_submission_id = submission;
    RETURN became;
END
$$;
COMMENT ON FUNCTION hs.record_ita_response(uuid, integer, jsonb) IS
    'Takes the answer to a filing of the tenant that was sent: accepted, where it is a success
     without errors, in place of the one that was in force; else rejected. Returns which.';


CREATE VIEW hs.v_ita_submission_error WITH (security_invoker = true) AS
SELECT s.business_id, s.ita_submission_id, s.osha_establishment_id, s.filing_year,
       s.submission_kind, s.http_status, e.error_no, e.field, e.code, e.message
FROM hs.ita_submission AS s
CROSS JOIN JSON_TABLE(s.response_body, '$.errors[*]' COLUMNS (
    error_no FOR ORDINALITY,
    field    text PATH '$.field',
    code     text PATH '$.code',
    message  text PATH '$.message')) AS e
WHERE s.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_ita_submission_error IS
    'What the Injury Tracking Application objected to, one error a row.';
GRANT SELECT ON hs.v_ita_submission_error TO app_user, app_readonly;


CREATE VIEW hs.v_ita_filing_status WITH (security_invoker = true) AS
SELECT s.business_id, s.ita_submission_id, s.osha_establishment_id, e.establishment_name,
       s.filing_year, s.submission_kind, s.status, s.due_on, s.sent_at,
       (coalesce(s.sent_at, now()) AT TIME ZONE b.time_zone)::date > s.due_on AS is_late,
       (SELECT count(*) FROM JSON_TABLE(s.response_body, '$.errors[*]' COLUMNS (
            message text PATH '$.message')) AS x) AS error_count
FROM hs.ita_submission AS s
JOIN hs.osha_establishment AS e
    ON e.business_id = s.business_id AND e.osha_establishment_id = s.osha_establishment_id
JOIN hs.branch AS b ON b.business_id = e.business_id AND b.branch_id = e.branch_id
WHERE s.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW hs.v_ita_filing_status IS
    'Every filing with its deadline: late is what was sent, or is still not sent, after due_on.';
GRANT SELECT ON hs.v_ita_filing_status TO app_user, app_readonly;
