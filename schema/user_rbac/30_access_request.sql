/*
 * Requests and reviews: how access is asked for, granted and taken back.
 *
 * access_request asks for a role or a permission on behalf of somebody; access_approval are the
 * decisions, step by step, that carry it to approved or rejected, and provision_access_request()
 * makes the grant. access_review is a campaign in which every grant of access_review_item is
 * confirmed or revoked; close_access_review() carries the decisions out.
 */

CREATE TABLE user_rbac.access_request (
    business_id                   uuid                   NOT NULL,
    access_request_id             uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    requested_for_user_account_id uuid                   NOT NULL,
    requested_by_user_account_id  uuid                   NOT NULL,
    role_id                       uuid,
    permission_id                 uuid,
    request_number                text                   NOT NULL,
    state                         text                   NOT NULL DEFAULT 'draft',
    scope_kind                    text                   NOT NULL DEFAULT 'business',
    scope_entity_id               uuid,
    justification                 text                   NOT NULL,
    sod_findings                  system_core.json_array NOT NULL DEFAULT '[]',
    risk_score                    system_core.score,
    requested_until               date,
    submitted_at                  timestamptz,
    decided_at                    timestamptz,
    provisioned_at                timestamptz,
    created_at                    timestamptz            NOT NULL DEFAULT now(),
    updated_at                    timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, access_request_id),
    UNIQUE (business_id, request_number),
    FOREIGN KEY (business_id, requested_for_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, requested_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, role_id) REFERENCES user_rbac.role (business_id, role_id),
    FOREIGN KEY (business_id, permission_id)
        REFERENCES user_rbac.permission (business_id, permission_id),
    CONSTRAINT access_request_asks_for_one_thing CHECK (num_nonnulls(role_id, permission_id) = 1),
    CONSTRAINT access_request_state_known
        CHECK (state IN ('draft', 'submitted', 'in_approval', 'approved', 'rejected',
                         'provisioned', 'expired', 'withdrawn')),
    CONSTRAINT access_request_scope_kind_known
        CHECK (scope_kind IN ('business', 'location', 'org_unit', 'record')),
    CONSTRAINT access_request_scope_names_its_place
        CHECK ((scope_kind = 'business') = (scope_entity_id IS NULL)),
    CONSTRAINT access_request_justified CHECK (justification ~ '\S'),
    CONSTRAINT access_request_risk_bounded CHECK (risk_score BETWEEN 0 AND 100),
    CONSTRAINT access_request_submitted_has_time
        CHECK (state IN ('draft', 'withdrawn') OR submitted_at IS NOT NULL),
    CONSTRAINT access_request_decided_has_time
        CHECK ((state IN ('approved', 'rejected', 'provisioned', 'expired'))
               = (decided_at IS NOT NULL)),
    CONSTRAINT access_request_provisioned_has_time
        CHECK (state <> 'provisioned' OR provisioned_at IS NOT NULL),
    CONSTRAINT access_request_decided_after_submission CHECK (decided_at >= submitted_at),
    CONSTRAINT access_request_provisioned_after_decision CHECK (provisioned_at >= decided_at)
);

COMMENT ON TABLE user_rbac.access_request IS
    'A request for a role or a permission, its risk, and how it was decided.';
COMMENT ON COLUMN user_rbac.access_request.sod_findings IS
    'Array of {rule, severity, mitigation_allowed, roles}: the separations of duty that the grant
     would break, found on submission and shown to the approvers.';
COMMENT ON COLUMN user_rbac.access_request.risk_score IS
    '0 to 100, from the tier of the role or the sensitivity of the permission and the findings.';
COMMENT ON COLUMN user_rbac.access_request.requested_until IS
    'The last day it is needed; NULL for as long as the role gives by itself.';

-- FK: what was asked for a user.
CREATE INDEX access_request_beneficiary_idx
    ON user_rbac.access_request (business_id, requested_for_user_account_id);

-- FK: what a user asked for.
CREATE INDEX access_request_requester_idx
    ON user_rbac.access_request (business_id, requested_by_user_account_id);

-- FK: the requests for a role.
CREATE INDEX access_request_role_idx
    ON user_rbac.access_request (business_id, role_id)
    WHERE role_id IS NOT NULL;

-- FK: the requests for a permission.
CREATE INDEX access_request_permission_idx
    ON user_rbac.access_request (business_id, permission_id)
    WHERE permission_id IS NOT NULL;

-- The requests underway, the oldest first.
CREATE INDEX access_request_open_idx
    ON user_rbac.access_request (business_id, submitted_at)
    WHERE state IN ('submitted', 'in_approval', 'approved');

ALTER TABLE user_rbac.access_request ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.access_request
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.access_request TO app_user;
GRANT SELECT ON user_rbac.access_request TO app_readonly;

-- The grant that a request led to.
ALTER TABLE user_rbac.role_assignment
    ADD FOREIGN KEY (business_id, access_request_id)
        REFERENCES user_rbac.access_request (business_id, access_request_id);
ALTER TABLE user_rbac.permission_override
    ADD FOREIGN KEY (business_id, access_request_id)
        REFERENCES user_rbac.access_request (business_id, access_request_id);

CREATE TRIGGER access_request_state_machine
    BEFORE INSERT OR UPDATE OF state ON user_rbac.access_request
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["draft"],
        "transitions": {
            "draft":       ["submitted", "withdrawn"],
            "submitted":   ["in_approval", "withdrawn"],
            "in_approval": ["approved", "rejected", "withdrawn"],
            "approved":    ["provisioned", "expired"],
            "provisioned": ["expired"],
            "rejected":    [],
            "expired":     [],
            "withdrawn":   []
        }}');

CREATE TRIGGER access_request_touch
    BEFORE UPDATE ON user_rbac.access_request
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.assess_access_request() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    base integer;
BEGIN
    SELECT coalesce(jsonb_agg(jsonb_build_object(
               'rule', s.constraint_code, 'severity', s.severity,
               'mitigation_allowed', s.mitigation_allowed, 'roles', s.conflicting_roles)
               ORDER BY s.constraint_code), '[]')
    INTO NEW.sod_findings
    FROM user_rbac.sod_violations(
        NEW.requested_for_user_account_id, NEW.role_id, NEW.scope_entity_id) AS s
    WHERE NEW.role_id IS NOT NULL;

    SELECT CASE r.risk_tier WHEN 'low' THEN 10 WHEN 'medium' THEN 30 WHEN 'high' THEN 60
                            ELSE 85 END
    INTO base
    FROM user_rbac.role AS r
    WHERE r.business_id = NEW.business_id AND r.role_id = NEW.role_id;
    IF NOT FOUND THEN
        SELECT CASE WHEN p.requires_step_up THEN 60 WHEN p.sensitivity = 'normal' THEN 10
                    ELSE 35 END
        INTO base
        FROM user_rbac.permission AS p
        WHERE p.business_id = NEW.business_id AND p.permission_id = NEW.permission_id;
    END IF;
    SELECT least(100, base + coalesce(sum(CASE f.severity WHEN 'block' THEN 25 ELSE 10 END), 0))
    INTO NEW.risk_score
    FROM JSON_TABLE(NEW.sod_findings::jsonb, '$[*]' COLUMNS (
        severity text PATH '$.severity')) AS f;
    NEW.submitted_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_rbac.assess_access_request() IS
    'What approvers are shown: the duties that the grant would mix, and its risk.';

CREATE TRIGGER access_request_assess
    BEFORE UPDATE OF state ON user_rbac.access_request
    FOR EACH ROW WHEN (OLD.state = 'draft' AND NEW.state = 'submitted')
    EXECUTE FUNCTION user_rbac.assess_access_request();

CREATE FUNCTION user_rbac.refuse_changed_request() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'request % was submitted and is not changed', OLD.request_number
            USING ERRCODE = 'restrict_violation', HINT = 'Withdraw it and make another one.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION user_rbac.refuse_changed_request() IS
    'What approvers looked at is what is granted.';

CREATE TRIGGER access_request_fixed
    BEFORE UPDATE ON user_rbac.access_request
    FOR EACH ROW WHEN (
        OLD.state <> 'draft'
        AND (OLD.requested_for_user_account_id, OLD.requested_by_user_account_id, OLD.role_id,
             OLD.permission_id, OLD.scope_kind, OLD.scope_entity_id, OLD.requested_until)
            IS DISTINCT FROM
            (NEW.requested_for_user_account_id, NEW.requested_by_user_account_id, NEW.role_id,
             NEW.permission_id, NEW.scope_kind, NEW.scope_entity_id, NEW.requested_until))
    EXECUTE FUNCTION user_rbac.refuse_changed_request();


CREATE TABLE user_rbac.access_approval (
    business_id              uuid        NOT NULL,
    access_approval_id       uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    access_request_id        uuid        NOT NULL,
    approver_user_account_id uuid        NOT NULL,
    step_no                  integer     NOT NULL DEFAULT 1,
    approver_kind            text        NOT NULL,
    decision                 text        NOT NULL DEFAULT 'pending',
    comment                  text,
    conditions               text,
    due_at                   timestamptz,
    escalated_at             timestamptz,
    decided_at               timestamptz,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, access_approval_id),
    UNIQUE (business_id, access_request_id, step_no, approver_user_account_id),
    FOREIGN KEY (business_id, access_request_id)
        REFERENCES user_rbac.access_request (business_id, access_request_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, approver_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT access_approval_step_positive CHECK (step_no > 0),
    CONSTRAINT access_approval_kind_known
        CHECK (approver_kind IN ('manager', 'role_owner', 'data_owner', 'security')),
    CONSTRAINT access_approval_decision_known
        CHECK (decision IN ('pending', 'approved', 'rejected', 'escalated', 'abstained')),
    CONSTRAINT access_approval_decided_has_time
        CHECK ((decision = 'pending') = (decided_at IS NULL)),
    CONSTRAINT access_approval_escalated_has_time
        CHECK (decision <> 'escalated' OR escalated_at IS NOT NULL)
);

COMMENT ON TABLE user_rbac.access_approval IS
    'The decision of one approver in one step of a request. A step is passed when one approver
     approved and nobody is asked any more; one rejection ends the request.';
COMMENT ON COLUMN user_rbac.access_approval.conditions IS
    'What the approval depends on, in words.';

-- FK: what waits for an approver, the most urgent first.
CREATE INDEX access_approval_approver_idx
    ON user_rbac.access_approval (business_id, approver_user_account_id, decision, due_at);

ALTER TABLE user_rbac.access_approval ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.access_approval
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.access_approval TO app_user;
GRANT SELECT ON user_rbac.access_approval TO app_readonly;

CREATE TRIGGER access_approval_decision_machine
    BEFORE INSERT OR UPDATE OF decision ON user_rbac.access_approval
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('decision', '{
        "initial": ["pending"],
        "transitions": {
            "pending":   ["approved", "rejected", "escalated", "abstained"],
            "approved":  [],
            "rejected":  [],
            "escalated": [],
            "abstained": []
        }}');

CREATE TRIGGER access_approval_touch
    BEFORE UPDATE ON user_rbac.access_approval
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.guard_access_approval() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    reason text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT CASE
        WHEN c.approver_user_account_id = r.requested_by_user_account_id
            THEN 'nobody approves what they asked for'
        WHEN c.approver_user_account_id = r.requested_for_user_account_id
            THEN 'nobody approves what they would receive'
        WHEN r.state NOT IN ('submitted', 'in_approval')
            THEN format('request %s is %s: nothing is left to decide', r.request_number, r.state)
        WHEN c.decision <> 'pending' AND EXISTS (
                SELECT FROM user_rbac.access_approval AS earlier
                WHERE earlier.business_id = c.business_id
                    AND earlier.access_request_id = c.access_request_id
                    AND earlier.step_no < c.step_no AND earlier.decision = 'pending')
            THEN format('an earlier step of request %s is not decided yet', r.request_number)
        END
    INTO reason
    FROM changed AS c
    JOIN user_rbac.access_request AS r
        ON r.business_id = c.business_id AND r.access_request_id = c.access_request_id
    ORDER BY 1 NULLS LAST
    LIMIT 1;
    IF reason IS NOT NULL THEN
        RAISE EXCEPTION '%', reason USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.guard_access_approval() IS
    'Approvers have no part in the request, and decide in the order of the steps.';

-- Fire before access_approval_move_*, as triggers do in the order of their names.
CREATE TRIGGER access_approval_guard_insert
    AFTER INSERT ON user_rbac.access_approval
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.guard_access_approval();

CREATE TRIGGER access_approval_guard_update
    AFTER UPDATE ON user_rbac.access_approval
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.guard_access_approval();

CREATE FUNCTION user_rbac.move_access_request() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    -- Two approvers who decide at the same time would each see the other undecided.
    PERFORM FROM user_rbac.access_request AS r
    WHERE (r.business_id, r.access_request_id) IN (
        SELECT c.business_id, c.access_request_id FROM changed AS c)
    ORDER BY r.access_request_id
    FOR NO KEY UPDATE;

    UPDATE user_rbac.access_request AS r
    SET state = 'in_approval'
    WHERE (r.business_id, r.access_request_id) IN (
            SELECT c.business_id, c.access_request_id FROM changed AS c)
        AND r.state = 'submitted';

    UPDATE user_rbac.access_request AS r
    SET state = CASE WHEN s.is_rejected THEN 'rejected' ELSE 'approved' END,
        decided_at = s.decided_at
    FROM (
        SELECT step.business_id, step.access_request_id, bool_or(step.is_rejected) AS is_rejected,
               bool_and(step.is_passed) AS is_passed, max(step.decided_at) AS decided_at
        FROM (
            SELECT a.business_id, a.access_request_id, a.step_no,
                   bool_or(a.decision = 'rejected') AS is_rejected,
                   bool_or(a.decision = 'approved')
                       AND bool_and(a.decision <> 'pending') AS is_passed,
                   max(a.decided_at) AS decided_at
            FROM user_rbac.access_approval AS a
            WHERE (a.business_id, a.access_request_id) IN (
                SELECT c.business_id, c.access_request_id FROM changed AS c)
            GROUP BY a.business_id, a.access_request_id, a.step_no
        ) AS step
        GROUP BY step.business_id, step.access_request_id
    ) AS s
    WHERE r.business_id = s.business_id AND r.access_request_id = s.access_request_id
        AND r.state = 'in_approval' AND (s.is_rejected OR s.is_passed);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.move_access_request() IS
    'A request is in approval once somebody is asked, rejected with the first rejection, approved
     when the last step is passed. Where all abstained or escalated it waits for another approver.';

CREATE TRIGGER access_approval_move_insert
    AFTER INSERT ON user_rbac.access_approval
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.move_access_request();

CREATE TRIGGER access_approval_move_update
    AFTER UPDATE ON user_rbac.access_approval
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.move_access_request();


CREATE FUNCTION user_rbac.provision_access_request(request uuid, mitigation text DEFAULT NULL)
    RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    wanted   user_rbac.access_request;
    approver uuid;
    ends     timestamptz;
    made     uuid;
BEGIN
    SELECT * INTO wanted FROM user_rbac.access_request AS r
    WHERE r.business_id = tenant AND r.access_request_id = request
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no request %', request USING ERRCODE = 'no_data_found';
    ELSIF wanted.state <> 'approved' THEN
        RAISE EXCEPTION 'request % is %, not approved', wanted.request_number, wanted.state
            USING ERRCODE = 'check_violation';
    END IF;
    ends := (wanted.requested_until + 1)::timestamp AT TIME ZONE 'UTC';
    IF ends <= now() THEN
        RAISE EXCEPTION 'request % was for a time that is over', wanted.request_number
            USING ERRCODE = 'check_violation', HINT = 'Let it expire.';
    END IF;
    SELECT a.approver_user_account_id INTO approver
    FROM user_rbac.access_approval AS a
    WHERE a.business_id = tenant AND a.access_request_id = request AND a.decision = 'approved'
    ORDER BY a.step_no DESC, a.decided_at DESC
    LIMIT 1;

    IF wanted.role_id IS NOT NULL THEN
        INSERT INTO user_rbac.role_assignment
            (business_id, user_account_id, role_id, granted_by_user_account_id,
             access_request_id, scope_kind, scope_entity_id, origin, justification,
             mitigation_reference, valid_until)
        VALUES (tenant, wanted.requested_for_user_account_id, wanted.role_id, approver, request,
                wanted.scope_kind, wanted.scope_entity_id, 'request', wanted.justification,
                mitigation, ends)
        RETURNING role_assignment_id INTO made;
    ELSE
        INSERT INTO user_rbac.permission_override
            (business_id, user_account_id, permission_id, approved_by_user_account_id,
             access_request_id, effect, scope_kind, scope_entity_id, reason, valid_until)
        VALUES (tenant, wanted.requested_for_user_account_id, wanted.permission_id, approver,
                request, 'allow', wanted.scope_kind, wanted.scope_entity_id, wanted.justification,
                coalesce(ends, now() + interval '90 days'))
        RETURNING permission_override_id INTO made;
    END IF;
    UPDATE user_rbac.access_request AS r
    SET state = 'provisioned', provisioned_at = now()
    WHERE r.business_id = tenant AND r.access_request_id = request;
    RETURN made;
END
$$;
COMMENT ON FUNCTION user_rbac.provision_access_request(uuid, text) IS
    'Grants what an approved request of the calling tenant asks for: a role as an assignment,
     under the duty check and with the mitigation named, a permission as an override, for 90 days
     where the request names no end. Returns the key of what it granted.';


CREATE VIEW user_rbac.v_request_conflict
    WITH (security_invoker = true) AS
SELECT r.business_id, r.access_request_id, r.request_number, r.state,
       r.requested_for_user_account_id, f.position, f.rule_code, f.severity,
       f.mitigation_allowed, f.role_code
FROM user_rbac.access_request AS r
CROSS JOIN JSON_TABLE(r.sod_findings::jsonb, '$[*]' COLUMNS (
    position           FOR ORDINALITY,
    rule_code          text    PATH '$.rule',
    severity           text    PATH '$.severity',
    mitigation_allowed boolean PATH '$.mitigation_allowed',
    NESTED PATH '$.roles[*]' COLUMNS (role_code text PATH '$'))) AS f
WHERE r.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW user_rbac.v_request_conflict IS
    'What the approvers of a request are shown: a line per rule and role in conflict.';
GRANT SELECT ON user_rbac.v_request_conflict TO app_user, app_readonly;


CREATE TABLE user_rbac.access_review (
    business_id              uuid                    NOT NULL,
    access_review_id         uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    owner_user_account_id    uuid                    NOT NULL,
    name                     text                    NOT NULL,
    scope_kind               text                    NOT NULL DEFAULT 'all',
    scope_filter             system_core.json_object NOT NULL DEFAULT '{}',
    state                    text                    NOT NULL DEFAULT 'planned',
    regulation               text                    NOT NULL DEFAULT 'internal',
    auto_revoke_on_no_answer boolean                 NOT NULL DEFAULT false,
    item_count               integer                 NOT NULL DEFAULT 0,
    completed_count          integer                 NOT NULL DEFAULT 0,
    opens_at                 timestamptz             NOT NULL,
    due_at                   timestamptz             NOT NULL,
    closed_at                timestamptz,
    created_at               timestamptz             NOT NULL DEFAULT now(),
    updated_at               timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, access_review_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT access_review_scope_kind_known
        CHECK (scope_kind IN ('all', 'role', 'org_unit', 'privileged', 'dormant')),
    CONSTRAINT access_review_state_known
        CHECK (state IN ('planned', 'open', 'closed', 'cancelled')),
    CONSTRAINT access_review_regulation_known
        CHECK (regulation IN ('sox', 'pci_dss', 'hipaa', 'internal')),
    CONSTRAINT access_review_due_after_opening CHECK (due_at > opens_at),
    CONSTRAINT access_review_closed_after_opening CHECK (closed_at >= opens_at),
    CONSTRAINT access_review_closed_has_time CHECK ((state = 'closed') = (closed_at IS NOT NULL)),
    CONSTRAINT access_review_counts_plausible
        CHECK (completed_count BETWEEN 0 AND item_count)
);

COMMENT ON TABLE user_rbac.access_review IS
    'A campaign in which the grants in its scope are confirmed or revoked.';
COMMENT ON COLUMN user_rbac.access_review.scope_filter IS
    '{"role_codes": [...]} for scope role, {"org_unit_codes": [...]} for org_unit,
     {"unused_days": 90} for dormant; privileged are the roles of tier high and critical.';
COMMENT ON COLUMN user_rbac.access_review.auto_revoke_on_no_answer IS
    'What nobody confirms is revoked when the review is closed, but never a role that was taken in
     an emergency.';
COMMENT ON COLUMN user_rbac.access_review.item_count IS 'Items; kept by triggers.';
COMMENT ON COLUMN user_rbac.access_review.completed_count IS 'Decided items; kept by triggers.';

-- FK: the reviews that an account answers for.
CREATE INDEX access_review_owner_idx
    ON user_rbac.access_review (business_id, owner_user_account_id);

ALTER TABLE user_rbac.access_review ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.access_review
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.access_review TO app_user;
GRANT SELECT ON user_rbac.access_review TO app_readonly;

CREATE TRIGGER access_review_touch
    BEFORE UPDATE ON user_rbac.access_review
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER access_review_state_machine
    BEFORE INSERT OR UPDATE OF state ON user_rbac.access_review
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('state', '{
        "initial": ["planned", "open"],
        "transitions": {
            "planned":   ["open", "cancelled"],
            "open":      ["closed", "cancelled"],
            "closed":    [],
            "cancelled": []
        }}');


CREATE TABLE user_rbac.access_review_item (
    business_id              uuid        NOT NULL,
    access_review_item_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    access_review_id         uuid        NOT NULL,
    role_assignment_id       uuid        NOT NULL,
    holder_id                uuid        NOT NULL,
    reviewer_user_account_id uuid        NOT NULL,
    decision                 text        NOT NULL DEFAULT 'pending',
    recommendation           text        NOT NULL DEFAULT 'unsure',
    comment                  text,
    last_used_days           integer,
    peer_usage_pct           system_core.percentage,
    is_overdue               boolean     NOT NULL DEFAULT false,
    decided_at               timestamptz,
    applied_at               timestamptz,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, access_review_item_id),
    UNIQUE (business_id, access_review_id, role_assignment_id),
    FOREIGN KEY (business_id, access_review_id)
        REFERENCES user_rbac.access_review (business_id, access_review_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, role_assignment_id, holder_id)
        REFERENCES user_rbac.role_assignment (business_id, role_assignment_id, holder_id),
    FOREIGN KEY (business_id, reviewer_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT access_review_item_decision_known
        CHECK (decision IN ('pending', 'keep', 'revoke', 'modify', 'delegated')),
    CONSTRAINT access_review_item_recommendation_known
        CHECK (recommendation IN ('keep', 'revoke', 'unsure')),
    CONSTRAINT access_review_item_by_another CHECK (reviewer_user_account_id <> holder_id),
    CONSTRAINT access_review_item_days_not_negative CHECK (last_used_days >= 0),
    CONSTRAINT access_review_item_peers_bounded CHECK (peer_usage_pct BETWEEN 0 AND 100),
    CONSTRAINT access_review_item_decided_has_time
        CHECK ((decision = 'pending') = (decided_at IS NULL)),
    CONSTRAINT access_review_item_only_decisions_are_applied
        CHECK (applied_at IS NULL OR decision IN ('keep', 'revoke', 'modify')),
    CONSTRAINT access_review_item_applied_after_decision CHECK (applied_at >= decided_at)
);

COMMENT ON TABLE user_rbac.access_review_item IS
    'One grant to confirm or revoke in a review, by somebody who does not hold it.';
COMMENT ON COLUMN user_rbac.access_review_item.holder_id IS
    'The holder of the assignment, which the foreign key ensures.';
COMMENT ON COLUMN user_rbac.access_review_item.last_used_days IS
    'Days since the last use when the item was made; NULL where it was never used.';
COMMENT ON COLUMN user_rbac.access_review_item.peer_usage_pct IS
    'How many of the holders of the role used it within 90 days.';
COMMENT ON COLUMN user_rbac.access_review_item.applied_at IS
    'When the decision was carried out: the grant revoked, or noted as certified.';

-- FK: the reviews of an assignment.
CREATE INDEX access_review_item_assignment_idx
    ON user_rbac.access_review_item (business_id, role_assignment_id, holder_id);

-- FK, and user_rbac.access_review_worklist: what waits for a reviewer.
CREATE INDEX access_review_item_reviewer_idx
    ON user_rbac.access_review_item (business_id, reviewer_user_account_id, decision);

ALTER TABLE user_rbac.access_review_item ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_rbac.access_review_item
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_rbac.access_review_item TO app_user;
GRANT SELECT ON user_rbac.access_review_item TO app_readonly;

CREATE TRIGGER access_review_item_touch
    BEFORE UPDATE ON user_rbac.access_review_item
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_rbac.count_review_items() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_rbac.access_review AS r
    SET item_count = n.items, completed_count = n.completed
    FROM (
        SELECT c.business_id, c.access_review_id, count(i.access_review_item_id) AS items,
               count(*) FILTER (WHERE i.decision IN ('keep', 'revoke', 'modify')) AS completed
        FROM (SELECT DISTINCT t.business_id, t.access_review_id FROM changed AS t) AS c
        LEFT JOIN user_rbac.access_review_item AS i
            ON i.business_id = c.business_id AND i.access_review_id = c.access_review_id
        GROUP BY c.business_id, c.access_review_id
    ) AS n
    WHERE r.business_id = n.business_id AND r.access_review_id = n.access_review_id
        AND (r.item_count, r.completed_count) <> (n.items, n.completed);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.count_review_items() IS
    'Keeps item_count and completed_count of the reviews whose items changed.';

CREATE TRIGGER access_review_item_count_insert
    AFTER INSERT ON user_rbac.access_review_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_review_items();

CREATE TRIGGER access_review_item_count_update
    AFTER UPDATE ON user_rbac.access_review_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_review_items();

CREATE TRIGGER access_review_item_count_delete
    AFTER DELETE ON user_rbac.access_review_item
    REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.count_review_items();

CREATE FUNCTION user_rbac.guard_review_item() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    review record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT r.name, r.state INTO review
    FROM changed AS c
    JOIN user_rbac.access_review AS r
        ON r.business_id = c.business_id AND r.access_review_id = c.access_review_id
    WHERE r.state IN ('closed', 'cancelled')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'review "%" is %', review.name, review.state
            USING ERRCODE = 'restrict_violation', HINT = 'Open another review.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_rbac.guard_review_item() IS
    'What a review found stays as it is when the review is over.';

CREATE TRIGGER access_review_item_guard_insert
    AFTER INSERT ON user_rbac.access_review_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.guard_review_item();

CREATE TRIGGER access_review_item_guard_update
    AFTER UPDATE ON user_rbac.access_review_item
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_rbac.guard_review_item();


CREATE FUNCTION user_rbac.open_access_review(review uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    campaign user_rbac.access_review;
    made     integer;
BEGIN
    UPDATE user_rbac.access_review AS r SET state = 'open', opens_at = least(r.opens_at, now())
    WHERE r.business_id = tenant AND r.access_review_id = review
    RETURNING r.* INTO campaign;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no review %', review USING ERRCODE = 'no_data_found';
    END IF;

    INSERT INTO user_rbac.access_review_item
        (business_id, access_review_id, role_assignment_id, holder_id,
         reviewer_user_account_id, last_used_days, peer_usage_pct, recommendation)
    SELECT tenant, review, a.role_assignment_id, a.holder_id, reviewer.user_account_id,
           extract(day FROM now() - a.last_used_at),
           peers.usage_pct,
           CASE WHEN a.last_used_at > now() - interval '30 days' THEN 'keep'
                WHEN a.last_used_at > now() - interval '90 days' OR peers.usage_pct >= 50
                    THEN 'unsure'
                ELSE 'revoke' END
    FROM user_rbac.role_assignment AS a
    JOIN user_rbac.role AS r ON r.business_id = a.business_id AND r.role_id = a.role_id
    -- The owner of the role, unless it is theirs; then the owner of the review or any owner.
    CROSS JOIN LATERAL (
        SELECT u.user_account_id
        FROM user_mgmt.user_account AS u
        WHERE u.business_id = tenant AND u.status = 'active' AND u.user_account_id <> a.holder_id
            AND (u.user_account_id IN (r.owner_user_account_id, campaign.owner_user_account_id)
                 OR campaign.owner_user_account_id = a.holder_id AND u.user_account_id IN (
                        SELECT o.owner_user_account_id FROM user_rbac.role AS o
                        WHERE o.business_id = tenant))
        ORDER BY u.user_account_id = r.owner_user_account_id DESC,
                 u.user_account_id = campaign.owner_user_account_id DESC, u.user_account_id
        LIMIT 1
    ) AS reviewer
    CROSS JOIN LATERAL (
        SELECT round(100.0 * count(*) FILTER (
                   WHERE other.last_used_at > now() - interval '90 days') / count(*), 4)
                   AS usage_pct
        FROM user_rbac.role_assignment AS other
        WHERE other.business_id = tenant AND other.role_id = a.role_id
            AND other.state = 'active'
    ) AS peers
    WHERE a.business_id = tenant AND a.state = 'active'
        AND CASE campaign.scope_kind
            WHEN 'all' THEN true
            WHEN 'privileged' THEN r.risk_tier IN ('high', 'critical')
            WHEN 'role' THEN r.code IN (
                SELECT f.role_code
                FROM JSON_TABLE(campaign.scope_filter::jsonb, '$.role_codes[*]' COLUMNS (
                    role_code text PATH '$')) AS f)
            WHEN 'org_unit' THEN EXISTS (
                SELECT
                FROM JSON_TABLE(campaign.scope_filter::jsonb, '$.org_unit_codes[*]' COLUMNS (
                    unit_code text PATH '$')) AS f
                JOIN user_mgmt.org_unit AS o
                    ON o.business_id = tenant AND o.code = f.unit_code
                JOIN user_mgmt.org_unit_member AS m
                    ON m.business_id = tenant AND m.org_unit_id = o.org_unit_id AND m.is_active
                WHERE m.user_account_id = a.user_account_id)
            ELSE coalesce(a.last_used_at, a.valid_from) < now() - make_interval(
                days => coalesce((campaign.scope_filter ->> 'unused_days')::integer, 90))
            END
    ON CONFLICT (business_id, access_review_id, role_assignment_id) DO NOTHING;
    GET DIAGNOSTICS made = ROW_COUNT;
    RETURN made;
END
$$;
COMMENT ON FUNCTION user_rbac.open_access_review(uuid) IS
    'Opens a review of the calling tenant with an item for every active assignment in its scope,
     for the owner of the role to decide; with what is known of its use. Returns how many.';


CREATE FUNCTION user_rbac.close_access_review(review uuid) RETURNS integer
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    campaign user_rbac.access_review;
    revoked  integer;
BEGIN
    SELECT * INTO campaign FROM user_rbac.access_review AS r
    WHERE r.business_id = tenant AND r.access_review_id = review
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no review %', review USING ERRCODE = 'no_data_found';
    ELSIF campaign.state <> 'open' THEN
        RAISE EXCEPTION 'review "%" is %, not open', campaign.name, campaign.state
            USING ERRCODE = 'check_violation';
    END IF;

    UPDATE user_rbac.access_review_item AS i
    SET is_overdue = true,
        decision = CASE WHEN t.is_revoked THEN 'revoke' ELSE i.decision END,
        decided_at = CASE WHEN t.is_revoked THEN now() ELSE i.decided_at END,
        comment = CASE WHEN t.is_revoked THEN 'no answer' ELSE i.comment END
    FROM user_rbac.role_assignment AS a
    CROSS JOIN LATERAL (
        SELECT campaign.auto_revoke_on_no_answer AND a.origin <> 'emergency') AS t (is_revoked)
    WHERE i.business_id = tenant AND i.access_review_id = review
        AND i.decision IN ('pending', 'delegated')
        AND a.business_id = tenant AND a.role_assignment_id = i.role_assignment_id;

    UPDATE user_rbac.role_assignment AS a
    SET state = 'revoked', revoked_at = now()
    FROM user_rbac.access_review_item AS i
    WHERE i.business_id = tenant AND i.access_review_id = review
        AND i.decision = 'revoke' AND i.applied_at IS NULL
        AND a.business_id = tenant AND a.role_assignment_id = i.role_assignment_id
        AND a.state IN ('active', 'scheduled');
    GET DIAGNOSTICS revoked = ROW_COUNT;

    UPDATE user_rbac.role_assignment AS a
    SET certified_at = now()
    FROM user_rbac.access_review_item AS i
    WHERE i.business_id = tenant AND i.access_review_id = review
        AND i.decision = 'keep' AND i.applied_at IS NULL
        AND a.business_id = tenant AND a.role_assignment_id = i.role_assignment_id;

    UPDATE user_rbac.access_review_item AS i
    SET applied_at = now()
    WHERE i.business_id = tenant AND i.access_review_id = review
        AND i.decision IN ('keep', 'revoke') AND i.applied_at IS NULL;

    UPDATE user_rbac.access_review AS r
    SET state = 'closed', closed_at = now()
    WHERE r.business_id = tenant AND r.access_review_id = review;
    RETURN revoked;
END
$$;
COMMENT ON FUNCTION user_rbac.close_access_review(uuid) IS
    'Closes an open review of the calling tenant: revokes what was decided to revoke, certifies
     what is kept, and revokes what nobody answered for where the review says so, except roles
     taken in an emergency. What is to be modified stays to be done by hand. Returns how many
     assignments it revoked.';
