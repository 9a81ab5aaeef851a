/*
 * Authorization: what was offered, and who agreed to it.
 *
 * An estimate is the written offer of an order in numbered versions, frozen once it is sent; one of
 * them is current, the others are superseded. A customer_authorization is the proof of a decision:
 * who, when, how, for how much; declined jobs too, since the shop must show that it told them.
 * auto.record_authorization() writes the proof, decides the jobs, raises what the order may cost
 * and moves it on.
 */

CREATE TABLE auto.estimate (
    business_id         uuid                    NOT NULL,
    estimate_id         uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    prepared_by_user_id uuid,
    pdf_file_id         uuid,
    repair_order_id     uuid                    NOT NULL,
    version_no          integer                 NOT NULL,
    estimate_kind       text                    NOT NULL DEFAULT 'initial',
    prepared_at         timestamptz             NOT NULL DEFAULT now(),
    sent_at             timestamptz,
    sent_via            text                    NOT NULL DEFAULT 'sms',
    viewed_at           timestamptz,
    expires_at          timestamptz,
    labor_amount        system_core.money       NOT NULL DEFAULT 0,
    parts_amount        system_core.money       NOT NULL DEFAULT 0,
    fees_amount         system_core.money       NOT NULL DEFAULT 0,
    tax_amount          system_core.money       NOT NULL DEFAULT 0,
    total_amount        system_core.money       GENERATED ALWAYS AS (
                                            labor_amount + parts_amount + fees_amount +
                                            tax_amount) STORED,
    tolerance_pct       system_core.percentage  NOT NULL DEFAULT 10,
    lines_document      system_core.json_object NOT NULL DEFAULT '{}',
    language_code       system_core.locale      NOT NULL DEFAULT 'en-US',
    status              text                    NOT NULL DEFAULT 'draft',
    created_at          timestamptz             NOT NULL DEFAULT now(),
    updated_at          timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, estimate_id),
    UNIQUE (business_id, repair_order_id, version_no),
    FOREIGN KEY (business_id, prepared_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, pdf_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    CONSTRAINT estimate_kind_known
        CHECK (estimate_kind IN ('initial', 'revised', 'teardown', 'maximum_price')),
    CONSTRAINT estimate_sent_via_known CHECK (sent_via IN ('sms', 'email', 'print', 'portal')),
    CONSTRAINT estimate_status_known
        CHECK (status IN ('draft', 'sent', 'viewed', 'approved', 'partly_approved', 'declined',
                          'expired', 'superseded')),
    CONSTRAINT estimate_amounts_not_negative
        CHECK (labor_amount >= 0 AND parts_amount >= 0 AND fees_amount >= 0 AND tax_amount >= 0),
    CONSTRAINT estimate_tolerance_bounded CHECK (tolerance_pct BETWEEN 0 AND 25),
    CONSTRAINT estimate_sent_has_time
        CHECK (status IN ('draft', 'superseded') OR sent_at IS NOT NULL),
    CONSTRAINT estimate_moves_in_order
        CHECK (sent_at >= prepared_at AND viewed_at >= sent_at AND expires_at > sent_at)
);

COMMENT ON TABLE auto.estimate IS
    'Frozen written estimate or revision shown to the customer; the lines are kept as shown.';
COMMENT ON COLUMN auto.estimate.tolerance_pct IS
    'By how much the work may cost more without asking again; the state''s law sets it.';
COMMENT ON COLUMN auto.estimate.lines_document IS
    'Jobs, lines and part conditions exactly as they were shown.';

-- FK: what an account prepared.
CREATE INDEX estimate_prepared_by_user_idx
    ON auto.estimate (business_id, prepared_by_user_id)
    WHERE prepared_by_user_id IS NOT NULL;

-- FK: the document.
CREATE INDEX estimate_pdf_file_idx
    ON auto.estimate (business_id, pdf_file_id)
    WHERE pdf_file_id IS NOT NULL;

-- One estimate of an order is not superseded: the one that counts.
CREATE UNIQUE INDEX estimate_current_idx
    ON auto.estimate (business_id, repair_order_id)
    WHERE status <> 'superseded';

ALTER TABLE auto.estimate ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.estimate
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON auto.estimate TO app_user;
GRANT SELECT ON auto.estimate TO app_readonly;

CREATE TRIGGER estimate_touch
    BEFORE UPDATE ON auto.estimate
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER estimate_status_machine
    BEFORE INSERT OR UPDATE OF status ON auto.estimate
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('status', '{
        "initial": ["draft", "sent"],
        "transitions": {
            "draft":           ["sent", "superseded"],
            "sent":            ["viewed", "approved", "partly_approved", "declined", "expired",
                                "superseded"],
            "viewed":          ["approved", "partly_approved", "declined", "expired",
                                "superseded"],
            "approved":        ["superseded"],
            "partly_approved": ["approved", "superseded"],
            "declined":        ["superseded"],
            "expired":         ["superseded"],
            "superseded":      []
        }}');

CREATE FUNCTION auto.freeze_estimate() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'version % of the estimate was sent, it stands as shown', OLD.version_no
        USING ERRCODE = 'check_violation', HINT = 'Write a new version.';
END
$$;
COMMENT ON FUNCTION auto.freeze_estimate() IS
    'What a customer was shown is not changed; only its state and when it was viewed.';

CREATE TRIGGER estimate_frozen
    BEFORE UPDATE ON auto.estimate
    FOR EACH ROW WHEN (OLD.sent_at IS NOT NULL
        AND (NEW.labor_amount, NEW.parts_amount, NEW.fees_amount, NEW.tax_amount,
             NEW.lines_document, NEW.version_no, NEW.estimate_kind, NEW.tolerance_pct)
            IS DISTINCT FROM (OLD.labor_amount, OLD.parts_amount, OLD.fees_amount,
                              OLD.tax_amount, OLD.lines_document, OLD.version_no,
                              OLD.estimate_kind, OLD.tolerance_pct))
    EXECUTE FUNCTION auto.freeze_estimate();

CREATE FUNCTION auto.supersede_estimate() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE auto.estimate AS e
    SET status = 'superseded'
    WHERE e.business_id = NEW.business_id AND e.repair_order_id = NEW.repair_order_id
      AND e.estimate_id <> NEW.estimate_id AND e.status <> 'superseded';
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.supersede_estimate() IS 'A new version supersedes those before it.';

CREATE TRIGGER estimate_supersedes
    BEFORE INSERT ON auto.estimate
    FOR EACH ROW WHEN (NEW.status <> 'superseded')
    EXECUTE FUNCTION auto.supersede_estimate();

CREATE FUNCTION auto.version_changes(p_estimate_id uuid)
    RETURNS TABLE (job_name text, change text, former_total numeric, new_total numeric)
    LANGUAGE sql STABLE AS $$
    WITH shown AS (
        SELECT e.estimate_id = p_estimate_id AS is_new, j.name, sum(j.labor + j.parts) AS total
        FROM auto.estimate AS this
        JOIN auto.estimate AS e
            ON e.business_id = this.business_id AND e.repair_order_id = this.repair_order_id
           AND e.version_no IN (this.version_no, this.version_no - 1)
        CROSS JOIN JSON_TABLE(
            e.lines_document, '$.jobs[*]'
            COLUMNS (name text PATH '$.name',
                     labor numeric PATH '$.labor' DEFAULT 0 ON EMPTY,
                     parts numeric PATH '$.parts' DEFAULT 0 ON EMPTY)) AS j
        WHERE this.business_id = tenant_mgmt.current_business_id()
          AND this.estimate_id = p_estimate_id
        GROUP BY e.estimate_id, j.name
    )
    SELECT coalesce(n.name, o.name),
           CASE WHEN o.name IS NULL THEN 'added' WHEN n.name IS NULL THEN 'removed'
                WHEN n.total > o.total THEN 'dearer' ELSE 'cheaper' END,
           o.total, n.total
    FROM (SELECT * FROM shown WHERE is_new) AS n
    FULL JOIN (SELECT * FROM shown WHERE NOT is_new) AS o ON o.name = n.name
    WHERE n.total IS DISTINCT FROM o.total
    ORDER BY 1
$$;
COMMENT ON FUNCTION auto.version_changes(uuid) IS
    'What a version of an estimate changed against the one before it, job by job.';

CREATE FUNCTION auto.tolerance_pct(visit auto.repair_order) RETURNS numeric
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT coalesce(max(e.tolerance_pct), 10)
    FROM auto.estimate AS e
    WHERE e.business_id = visit.business_id AND e.repair_order_id = visit.repair_order_id
      AND e.status <> 'superseded';
END;
COMMENT ON FUNCTION auto.tolerance_pct(auto.repair_order) IS
    'By how many percent an order may pass what was authorized; 10 without an estimate.';


CREATE TABLE auto.customer_authorization (
    business_id               uuid                    NOT NULL,
    customer_authorization_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    recorded_by_user_id       uuid,
    signature_file_id         uuid,
    repair_order_id           uuid                    NOT NULL,
    estimate_id               uuid,
    repair_job_id             uuid,
    customer_contact_id       uuid,
    decision                  text                    NOT NULL,
    method                    text                    NOT NULL,
    decided_at                timestamptz             NOT NULL DEFAULT now(),
    authorized_total          system_core.money       NOT NULL DEFAULT 0,
    called_number             system_core.phone,
    person_name               system_core.person_name,
    reason_text               text,
    document_hash             system_core.sha256,
    ip_address                inet,
    fleet_authorization_code  system_core.code,
    authorizes_teardown       boolean                 NOT NULL DEFAULT false,
    created_at                timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, customer_authorization_id),
    FOREIGN KEY (business_id, recorded_by_user_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, signature_file_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, repair_order_id)
        REFERENCES auto.repair_order (business_id, repair_order_id),
    FOREIGN KEY (business_id, estimate_id) REFERENCES auto.estimate (business_id, estimate_id),
    FOREIGN KEY (business_id, repair_job_id)
        REFERENCES auto.repair_job (business_id, repair_job_id),
    FOREIGN KEY (business_id, customer_contact_id)
        REFERENCES auto.customer_contact (business_id, customer_contact_id),
    CONSTRAINT customer_authorization_decision_known
        CHECK (decision IN ('approved', 'declined', 'deferred', 'revoked')),
    CONSTRAINT customer_authorization_method_known
        CHECK (method IN ('signature', 'sms_link', 'email', 'phone', 'fleet_portal', 'insurer',
                          'standing_limit')),
    CONSTRAINT customer_authorization_phone_is_told
        CHECK (method <> 'phone' OR (called_number IS NOT NULL AND person_name IS NOT NULL)),
    CONSTRAINT customer_authorization_approves_something
        CHECK (decision <> 'approved' OR num_nonnulls(repair_job_id, estimate_id) > 0),
    CONSTRAINT customer_authorization_amount_not_negative CHECK (authorized_total >= 0),
    CONSTRAINT customer_authorization_fleet_has_code
        CHECK (method <> 'fleet_portal' OR fleet_authorization_code IS NOT NULL)
);

COMMENT ON TABLE auto.customer_authorization IS
    'Proof of who agreed to what amount, how and when; declined jobs included; append only.';

-- FK: what an account recorded.
CREATE INDEX customer_authorization_recorded_by_user_idx
    ON auto.customer_authorization (business_id, recorded_by_user_id)
    WHERE recorded_by_user_id IS NOT NULL;

-- FK: the signature.
CREATE INDEX customer_authorization_signature_file_idx
    ON auto.customer_authorization (business_id, signature_file_id)
    WHERE signature_file_id IS NOT NULL;

-- FK: the decisions on an order in time.
CREATE INDEX customer_authorization_repair_order_idx
    ON auto.customer_authorization (business_id, repair_order_id, decided_at);

-- FK: the decisions on an estimate.
CREATE INDEX customer_authorization_estimate_idx
    ON auto.customer_authorization (business_id, estimate_id)
    WHERE estimate_id IS NOT NULL;

-- FK: the decisions on a job.
CREATE INDEX customer_authorization_repair_job_idx
    ON auto.customer_authorization (business_id, repair_job_id)
    WHERE repair_job_id IS NOT NULL;

-- FK: what a contact decided.
CREATE INDEX customer_authorization_customer_contact_idx
    ON auto.customer_authorization (business_id, customer_contact_id)
    WHERE customer_contact_id IS NOT NULL;

ALTER TABLE auto.customer_authorization ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON auto.customer_authorization
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON auto.customer_authorization TO app_user;
GRANT SELECT ON auto.customer_authorization TO app_readonly;

CREATE TRIGGER customer_authorization_append_only
    BEFORE UPDATE OR DELETE ON auto.customer_authorization
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('auto.customer_authorization');

CREATE FUNCTION auto.require_standing_limit() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    fleet record;
BEGIN
    SELECT f.fleet_name, f.pre_authorized_limit AS allowed, f.status INTO fleet
    FROM auto.repair_order AS o
    JOIN auto.fleet_account AS f
        ON f.business_id = o.business_id AND f.fleet_account_id = o.fleet_account_id
    WHERE o.business_id = NEW.business_id AND o.repair_order_id = NEW.repair_order_id;
    IF fleet.status <> 'active' THEN
        RAISE EXCEPTION 'the account of % is %', fleet.fleet_name, fleet.status
            USING ERRCODE = 'check_violation', HINT = 'Ask the fleet''s approver.';
    END IF;
    IF fleet.allowed IS NULL OR NEW.authorized_total > fleet.allowed THEN
        RAISE EXCEPTION 'a standing limit of % does not cover %', coalesce(fleet.allowed, 0),
                        NEW.authorized_total
            USING ERRCODE = 'check_violation', HINT = 'Ask the fleet''s approver.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION auto.require_standing_limit() IS
    'The standing limit of an active fleet authorizes no more than it is.';

CREATE TRIGGER customer_authorization_within_limit
    BEFORE INSERT ON auto.customer_authorization
    FOR EACH ROW WHEN (NEW.method = 'standing_limit' AND NEW.decision = 'approved')
    EXECUTE FUNCTION auto.require_standing_limit();


CREATE FUNCTION auto.record_authorization(
    visit    uuid,
    offer    uuid,
    jobs     uuid[],
    decision text,
    method   text,
    person   jsonb DEFAULT '{}'
) RETURNS auto.customer_authorization
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    folder auto.repair_order;
    shown  auto.estimate;
    agreed numeric;
    proof  auto.customer_authorization;
BEGIN
    SELECT o.* INTO folder
    FROM auto.repair_order AS o
    WHERE o.business_id = tenant AND o.repair_order_id = visit
    FOR NO KEY UPDATE;
    SELECT e.* INTO shown
    FROM auto.estimate AS e
    WHERE e.business_id = tenant AND e.estimate_id = offer AND e.repair_order_id = visit
    FOR NO KEY UPDATE;
    IF shown.estimate_id IS NULL THEN
        RAISE EXCEPTION 'the order has no such estimate' USING ERRCODE = 'no_data_found';
    ELSIF shown.status IN ('superseded', 'expired') OR shown.expires_at < now() THEN
        RAISE EXCEPTION 'version % of the estimate is %', shown.version_no,
                        CASE WHEN shown.status = 'superseded' THEN 'superseded' ELSE 'expired' END
            USING ERRCODE = 'check_violation', HINT = 'Send the current version.';
    END IF;
    SELECT coalesce(sum(j.labor_total + j.parts_total + j.sublet_total - j.discount_amount), 0)
    INTO agreed
    FROM auto.repair_job AS j
    WHERE j.business_id = tenant AND j.repair_order_id = visit
      AND CASE WHEN j.repair_job_id = ANY (jobs)
                AND j.status IN ('proposed', 'approved', 'declined')
               THEN decision = 'approved'
               ELSE j.status IN ('approved', 'in_progress', 'waiting', 'done') END;
    -- Before the jobs: what they add is measured against what may be spent.
    UPDATE auto.repair_order AS o
    SET authorized_amount = agreed
    WHERE o.business_id = tenant AND o.repair_order_id = visit AND o.authorized_amount < agreed;
    UPDATE auto.repair_job AS j
    SET status = CASE WHEN decision = 'approved' THEN 'approved' ELSE 'declined' END,
        decided_at = now()
    WHERE j.business_id = tenant AND j.repair_order_id = visit AND j.repair_job_id = ANY (jobs)
      AND j.status IN ('proposed', 'approved', 'declined')
      AND j.status <> CASE WHEN decision = 'approved' THEN 'approved' ELSE 'declined' END;
    INSERT INTO auto.customer_authorization
        (business_id, repair_order_id, estimate_id, repair_job_id, decision, method,
         authorized_total, called_number, person_name, reason_text, ip_address,
         fleet_authorization_code, document_hash)
    VALUES (tenant, visit, offer, CASE WHEN cardinality(jobs) = 1 THEN jobs[1] END, decision,
            method, CASE WHEN decision = 'approved' THEN agreed ELSE 0 END,
            person ->> 'called_number', person ->> 'name', person ->> 'reason',
            (person ->> 'ip_address')::inet, person ->> 'fleet_code',
            sha256(convert_to(shown.lines_document::text, 'UTF8')))
    RETURNING * INTO proof;
    UPDATE auto.estimate AS e
    SET status = CASE WHEN decision <> 'approved' AND agreed = 0 THEN 'declined'
                      WHEN EXISTS (SELECT FROM auto.repair_job AS j
                                   WHERE j.business_id = tenant AND j.repair_order_id = visit
                                     AND j.status IN ('proposed', 'declined'))
                      THEN 'partly_approved' ELSE 'approved' END
    WHERE e.business_id = tenant AND e.estimate_id = offer
      AND e.status IN ('sent', 'viewed', 'partly_approved');
    UPDATE auto.repair_order AS o
    SET status = 'authorized'
    WHERE o.business_id = tenant AND o.repair_order_id = visit AND decision = 'approved'
      AND o.status IN ('checked_in', 'diagnosis', 'awaiting_authorization');
    RETURN proof;
END
$$;
COMMENT ON FUNCTION auto.record_authorization(uuid, uuid, uuid[], text, text, jsonb) IS
    'Writes down who decided what on an estimate that still counts, decides the jobs, raises what
     the order may cost, and moves an order that waited for it on.';
