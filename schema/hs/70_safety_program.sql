/*
 * Safety program: what keeps incidents from happening.
 *
 * A job_hazard_analysis says what can hurt somebody on a kind of job (a template) or on one job,
 * as the crew found the site. A job with a high risk that nobody reviewed, or where work was
 * stopped, is not dispatched.
 */

CREATE TABLE hs.job_hazard_analysis (
    business_id               uuid             NOT NULL,
    job_hazard_analysis_id    uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    job_type_id               uuid,
    work_order_id             uuid,
    prepared_by_technician_id uuid,
    jha_number                system_core.code NOT NULL,
    scope_text                text             NOT NULL,
    residual_risk             text             NOT NULL DEFAULT 'low',
    status                    text             NOT NULL DEFAULT 'draft',
    is_template               boolean          NOT NULL
        GENERATED ALWAYS AS (work_order_id IS NULL) STORED,
    site_conditions           system_core.json_object,
    prepared_at               timestamptz      NOT NULL DEFAULT now(),
    reviewed_at               timestamptz,
    valid_until_on            date,
    created_at                timestamptz      NOT NULL DEFAULT now(),
    updated_at                timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, job_hazard_analysis_id),
    UNIQUE (business_id, jha_number),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, job_type_id) REFERENCES hs.job_type (business_id, job_type_id),
    FOREIGN KEY (business_id, work_order_id)
        REFERENCES hs.work_order (business_id, work_order_id),
    FOREIGN KEY (business_id, prepared_by_technician_id)
        REFERENCES hs.technician (business_id, technician_id),
    CONSTRAINT job_hazard_analysis_risk_known CHECK (residual_risk IN ('low', 'medium', 'high')),
    CONSTRAINT job_hazard_analysis_status_known
        CHECK (status IN ('draft', 'active', 'stopped_work', 'expired')),
    CONSTRAINT job_hazard_analysis_is_about_something
        CHECK (num_nonnulls(job_type_id, work_order_id) >= 1),
    CONSTRAINT job_hazard_analysis_site_of_a_job
        CHECK (site_conditions IS NULL OR work_order_id IS NOT NULL),
    CONSTRAINT job_hazard_analysis_stops_a_job
        CHECK (status <> 'stopped_work' OR work_order_id IS NOT NULL),
    CONSTRAINT job_hazard_analysis_reviewed_after_preparation CHECK (reviewed_at >= prepared_at)
);

COMMENT ON TABLE hs.job_hazard_analysis IS
    'What can hurt somebody on a kind of job or on one job, and what risk is left.';
COMMENT ON COLUMN hs.job_hazard_analysis.residual_risk IS
    'With all controls in place; high needs a review before anybody is sent.';
COMMENT ON COLUMN hs.job_hazard_analysis.site_conditions IS
    'The check on site: {"checked_by": text, "answers": [{"question", "answer", "is_safe"}]}.';

-- FK: the analyses of a kind of job.
CREATE INDEX job_hazard_analysis_job_type_idx
    ON hs.job_hazard_analysis (business_id, job_type_id)
    WHERE job_type_id IS NOT NULL;

-- FK and dispatch: what is known about a job.
CREATE INDEX job_hazard_analysis_work_order_idx
    ON hs.job_hazard_analysis (business_id, work_order_id)
    WHERE work_order_id IS NOT NULL;

-- FK: what a technician prepared.
CREATE INDEX job_hazard_analysis_technician_idx
    ON hs.job_hazard_analysis (business_id, prepared_by_technician_id)
    WHERE prepared_by_technician_id IS NOT NULL;

-- What expires next.
CREATE INDEX job_hazard_analysis_validity_idx
    ON hs.job_hazard_analysis (business_id, valid_until_on)
    WHERE status = 'active';

ALTER TABLE hs.job_hazard_analysis ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON hs.job_hazard_analysis
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON hs.job_hazard_analysis TO app_user;
GRANT SELECT ON hs.job_hazard_analysis TO app_readonly;

CREATE TRIGGER job_hazard_analysis_touch
    BEFORE UPDATE ON hs.job_hazard_analysis
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER job_hazard_analysis_number
    BEFORE INSERT ON hs.job_hazard_analysis
    FOR EACH ROW WHEN (NEW.jha_number IS NULL)
    EXECUTE FUNCTION system_core.assign_document_number(
        'jha_number', 'job_hazard_analysis', 'JHA-', 'job_hazard_analysis_id');

CREATE TRIGGER job_hazard_analysis_status_machine
    BEFORE INSERT OR UPDATE OF status ON hs.job_hazard_analysis
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "active"],
        "transitions": {
            "draft":        ["active", "expired"],
            "active":       ["stopped_work", "expired"],
            "stopped_work": ["active", "expired"],
            "expired":      []
        }}');


CREATE FUNCTION hs.hazard_that_blocks(job uuid, kind_of_job uuid) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN (
        SELECT j.jha_number
        FROM hs.job_hazard_analysis AS j
        WHERE j.business_id = tenant_mgmt.current_business_id()
          AND (j.work_order_id = job OR (j.job_type_id = kind_of_job AND j.is_template))
          AND (j.status = 'stopped_work'
               OR (j.status <> 'expired' AND j.residual_risk = 'high' AND j.reviewed_at IS NULL
                   AND (j.status = 'active' OR NOT j.is_template)))
        ORDER BY j.prepared_at DESC, j.jha_number
        LIMIT 1);
END
$$;
COMMENT ON FUNCTION hs.hazard_that_blocks(uuid, uuid) IS
    'Number of an analysis of the tenant''s job, or of its kind of job, for which nobody may be
     sent: a high risk that was not reviewed, or work that was stopped. NULL where there is none.';

CREATE FUNCTION hs.require_reviewed_hazards() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    blocking text;
BEGIN
    IF row_security_active(TG_RELID) THEN
        blocking := hs.hazard_that_blocks(NEW.work_order_id, NEW.job_type_id);
        IF blocking IS NOT NULL THEN
            RAISE EXCEPTION 'hazard analysis % blocks the dispatch', blocking
                USING ERRCODE = 'check_violation',
                      HINT = 'A supervisor reviews it (reviewed_at) or lets work go on.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hs.require_reviewed_hazards() IS
    'Nobody is sent to a job with a high risk that was not reviewed, or where work was stopped.';

CREATE TRIGGER work_order_hazards_reviewed
    BEFORE UPDATE OF status ON hs.work_order
    FOR EACH ROW WHEN (NEW.status = 'dispatched' AND OLD.status <> 'dispatched')
    EXECUTE FUNCTION hs.require_reviewed_hazards();


CREATE FUNCTION hs.expire_hazard_analyses(on_day date DEFAULT current_date) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    moved integer;
BEGIN
    UPDATE hs.job_hazard_analysis AS j SET status = 'expired'
    WHERE j.business_id = tenant_mgmt.current_business_id()
      AND j.status = 'active' AND j.valid_until_on < on_day;
    GET DIAGNOSTICS moved = ROW_COUNT;
    RETURN moved;
END
$$;
COMMENT ON FUNCTION hs.expire_hazard_analyses(date) IS
    'Ends the tenant''s analyses whose last day has passed; returns how many.';


CREATE VIEW hs.v_unsafe_site_condition WITH (security_invoker = true) AS
SELECT j.business_id, j.job_hazard_analysis_id, j.jha_number, j.work_order_id, j.status,
       j.residual_risk, c.checked_by, c.question, c.answer
FROM hs.job_hazard_analysis AS j
CROSS JOIN JSON_TABLE(j.site_conditions::jsonb, '$' COLUMNS (
    checked_by text PATH '$.checked_by',
    NESTED PATH '$.answers[*]' COLUMNS (
        question text    PATH '$.question',
        answer   text    PATH '$.answer',
        is_safe  boolean PATH '$.is_safe'))) AS c
WHERE j.business_id = tenant_mgmt.current_business_id() AND NOT c.is_safe;
COMMENT ON VIEW hs.v_unsafe_site_condition IS
    'What the check on site found unsafe, one answer a row.';
GRANT SELECT ON hs.v_unsafe_site_condition TO app_user, app_readonly;
