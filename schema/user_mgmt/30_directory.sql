/*
 * The life of an account: joiners, movers and leavers, by hand or by the tenant's directory.
 *
 * user_lifecycle_event is one step of an account; the database itself writes every move of its
 * status. transition_account() makes a move, with what follows from it: who is suspended or leaves
 * is signed out everywhere, and a leaver gets offboarding tasks. directory_connection is the SCIM,
 * LDAP or HR directory that feeds accounts; apply_directory_delta() applies what it sent and keeps
 * a directory_sync_run about it. anonymize_account() ends the life of an account.
 *
 * Who acts is read from the setting app.user_account_id.
 */

CREATE FUNCTION user_mgmt.account_move_kind(from_status text, to_status text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE
        WHEN from_status IN ('invited', 'pending_verification') THEN
            CASE WHEN to_status = 'active' THEN 'activated'
                 WHEN to_status = 'deactivated' THEN 'deactivated'
                 WHEN to_status = 'pending_verification' AND from_status = 'invited'
                     THEN 'profile_changed' END
        WHEN from_status = 'active' AND to_status IN ('suspended', 'locked', 'deactivated')
            THEN to_status
        WHEN from_status = 'locked' THEN
            CASE WHEN to_status = 'active' THEN 'unlocked'
                 WHEN to_status IN ('suspended', 'deactivated') THEN to_status END
        WHEN from_status = 'suspended' THEN
            CASE WHEN to_status = 'active' THEN 'reinstated'
                 WHEN to_status = 'deactivated' THEN to_status END
        WHEN from_status = 'deactivated' THEN
            CASE WHEN to_status = 'active' THEN 'reactivated'
                 WHEN to_status = 'anonymized' THEN to_status END
        END;
COMMENT ON FUNCTION user_mgmt.account_move_kind(text, text) IS
    'The kind of lifecycle event that a move of user_account.status is; NULL for no such move.';


CREATE TABLE user_mgmt.user_lifecycle_event (
    business_id             uuid        NOT NULL,
    user_lifecycle_event_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    user_account_id         uuid        NOT NULL,
    actor_user_account_id   uuid,
    event_kind              text        NOT NULL,
    from_status             text,
    to_status               text,
    reason                  text,
    source                  text        NOT NULL DEFAULT 'admin',
    details                 system_core.json_object,
    ticket_reference        text,
    occurred_at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, user_lifecycle_event_id, occurred_at),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT user_lifecycle_event_kind_known
        CHECK (event_kind IN ('created', 'invited', 'activated', 'profile_changed', 'moved',
                              'role_changed', 'suspended', 'reinstated', 'locked', 'unlocked',
                              'deactivated', 'reactivated', 'anonymized')),
    CONSTRAINT user_lifecycle_event_from_status_known
        CHECK (from_status IN ('invited', 'pending_verification', 'active', 'suspended', 'locked',
                               'deactivated', 'anonymized')),
    CONSTRAINT user_lifecycle_event_to_status_known
        CHECK (to_status IN ('invited', 'pending_verification', 'active', 'suspended', 'locked',
                             'deactivated', 'anonymized')),
    CONSTRAINT user_lifecycle_event_source_known
        CHECK (source IN ('admin', 'hr_feed', 'scim', 'self', 'policy')),
    CONSTRAINT user_lifecycle_event_person_is_named
        CHECK (actor_user_account_id IS NOT NULL OR source IN ('scim', 'hr_feed', 'policy')),
    CONSTRAINT user_lifecycle_event_leaves_a_status_for_another
        CHECK (from_status IS NULL OR to_status IS NOT NULL),
    CONSTRAINT user_lifecycle_event_begins_a_life
        CHECK (from_status IS NOT NULL
               OR (event_kind IN ('created', 'invited')) = (to_status IS NOT NULL)),
    CONSTRAINT user_lifecycle_event_follows_state_machine
        CHECK (from_status IS NULL
               OR event_kind IS NOT DISTINCT FROM
                  user_mgmt.account_move_kind(from_status, to_status)),
    CONSTRAINT user_lifecycle_event_step_is_no_move
        CHECK (from_status IS NOT NULL
               OR event_kind IN ('created', 'invited', 'profile_changed', 'moved',
                                 'role_changed'))
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE user_mgmt.user_lifecycle_event IS
    'A step in the life of an account: joining, moving, being suspended, leaving. Every move of the
     status is written by a trigger of user_account.';
COMMENT ON COLUMN user_mgmt.user_lifecycle_event.from_status IS
    'NULL for the beginning, and for steps that are no move of the status.';
COMMENT ON COLUMN user_mgmt.user_lifecycle_event.occurred_at IS
    'clock_timestamp(), not now(): moves in one transaction keep their order.';
COMMENT ON COLUMN user_mgmt.user_lifecycle_event.details IS
    'Facts of the step, never personal data: the event outlives the person''s erasure.';

-- FK: the life of an account, newest first.
CREATE INDEX user_lifecycle_event_account_idx
    ON user_mgmt.user_lifecycle_event (business_id, user_account_id, occurred_at DESC);

-- FK: what an administrator did to accounts.
CREATE INDEX user_lifecycle_event_actor_idx
    ON user_mgmt.user_lifecycle_event (business_id, actor_user_account_id, occurred_at DESC)
    WHERE actor_user_account_id IS NOT NULL;

ALTER TABLE user_mgmt.user_lifecycle_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_lifecycle_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON user_mgmt.user_lifecycle_event TO app_user;
GRANT SELECT ON user_mgmt.user_lifecycle_event TO app_readonly;

CREATE TABLE user_mgmt.user_lifecycle_event_default
    PARTITION OF user_mgmt.user_lifecycle_event DEFAULT;
ALTER TABLE user_mgmt.user_lifecycle_event_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.user_lifecycle_event_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_mgmt.user_lifecycle_event', 'month', behind => 3, ahead => 1);

CREATE TRIGGER user_lifecycle_event_append_only
    BEFORE UPDATE OR DELETE ON user_mgmt.user_lifecycle_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('user_mgmt.user_lifecycle_event');


CREATE TABLE user_mgmt.offboarding_task (
    business_id                 uuid        NOT NULL,
    offboarding_task_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    leaver_user_account_id      uuid        NOT NULL,
    assigned_to_user_account_id uuid,
    task_code                   text        NOT NULL,
    state                       text        NOT NULL DEFAULT 'open',
    sequence_no                 integer     NOT NULL DEFAULT 1,
    is_automatic                boolean     NOT NULL DEFAULT false,
    result                      text,
    skip_reason                 text,
    due_at                      timestamptz NOT NULL,
    completed_at                timestamptz,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    updated_at                  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, offboarding_task_id),
    UNIQUE (business_id, leaver_user_account_id, task_code),
    FOREIGN KEY (business_id, leaver_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, assigned_to_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT offboarding_task_code_known
        CHECK (task_code IN ('revoke_sessions', 'revoke_keys', 'transfer_records', 'remove_roles',
                             'return_equipment', 'mailbox_delegation', 'final_review')),
    CONSTRAINT offboarding_task_state_known
        CHECK (state IN ('open', 'done', 'skipped', 'failed')),
    CONSTRAINT offboarding_task_done_has_time CHECK (state <> 'done' OR completed_at IS NOT NULL),
    CONSTRAINT offboarding_task_skipped_has_reason
        CHECK (state <> 'skipped' OR skip_reason IS NOT NULL),
    CONSTRAINT offboarding_task_skip_reason_not_blank CHECK (skip_reason ~ '\S'),
    CONSTRAINT offboarding_task_not_of_the_leaver
        CHECK (assigned_to_user_account_id <> leaver_user_account_id),
    CONSTRAINT offboarding_task_sequence_positive CHECK (sequence_no > 0)
);

COMMENT ON TABLE user_mgmt.offboarding_task IS
    'A step to finish when someone leaves: revoke, transfer, collect, confirm.';
COMMENT ON COLUMN user_mgmt.offboarding_task.is_automatic IS
    'Done by transition_account() when the account was deactivated.';
COMMENT ON COLUMN user_mgmt.offboarding_task.sequence_no IS
    'Order in which the steps of a leaver are listed.';

-- FK: the open work of an administrator or manager.
CREATE INDEX offboarding_task_assignee_idx
    ON user_mgmt.offboarding_task (business_id, assigned_to_user_account_id, due_at)
    WHERE assigned_to_user_account_id IS NOT NULL;

ALTER TABLE user_mgmt.offboarding_task ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.offboarding_task
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.offboarding_task TO app_user;
GRANT SELECT ON user_mgmt.offboarding_task TO app_readonly;

CREATE TRIGGER offboarding_task_touch
    BEFORE UPDATE ON user_mgmt.offboarding_task
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION user_mgmt.require_finished_work() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    unfinished record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT c.task_code, w.what INTO unfinished
    FROM changed AS c
    CROSS JOIN LATERAL (
        SELECT format('service account %s has no other owner', s.name) AS what
        FROM user_mgmt.service_account AS s
        WHERE c.task_code = 'transfer_records' AND s.business_id = c.business_id
            AND s.owner_user_account_id = c.leaver_user_account_id AND s.status = 'active'
        UNION ALL
        SELECT format('role %s is still held', r.code)
        FROM user_rbac.role_assignment AS a
        JOIN user_rbac.role AS r ON r.business_id = a.business_id AND r.role_id = a.role_id
        WHERE c.task_code = 'remove_roles' AND a.business_id = c.business_id
            AND a.user_account_id = c.leaver_user_account_id
            AND a.state IN ('active', 'scheduled')
        UNION ALL
        SELECT format('task %s is %s', t.task_code, t.state)
        FROM user_mgmt.offboarding_task AS t
        WHERE c.task_code = 'final_review' AND t.business_id = c.business_id
            AND t.leaver_user_account_id = c.leaver_user_account_id
            AND t.task_code <> 'final_review' AND t.state IN ('open', 'failed')
    ) AS w
    WHERE c.state = 'done'
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION '% is not done: %', unfinished.task_code, unfinished.what
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.require_finished_work() IS
    'A task is done when it is: service accounts have another owner, roles are gone, and the final
     review comes after everything else.';

CREATE TRIGGER offboarding_task_finished_insert
    AFTER INSERT ON user_mgmt.offboarding_task
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_mgmt.require_finished_work();

CREATE TRIGGER offboarding_task_finished_update
    AFTER UPDATE ON user_mgmt.offboarding_task
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_mgmt.require_finished_work();


-- What follows from a move of user_account.status, by whatever way it is made.

CREATE FUNCTION user_mgmt.lifecycle_source(account uuid) RETURNS text
    LANGUAGE sql STABLE
    RETURN coalesce(
        nullif(current_setting('app.lifecycle_source', true), ''),
        CASE nullif(current_setting('app.user_account_id', true), '')::uuid
            WHEN account THEN 'self' END,
        CASE WHEN coalesce(current_setting('app.user_account_id', true), '') = ''
             THEN 'policy' ELSE 'admin' END);
COMMENT ON FUNCTION user_mgmt.lifecycle_source(uuid) IS
    'On whose behalf an account changes now: the directory that is being applied
     (app.lifecycle_source), the user, another user, or else a rule of the system.';

CREATE FUNCTION user_mgmt.record_new_accounts() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        INSERT INTO user_mgmt.user_lifecycle_event
            (business_id, user_account_id, actor_user_account_id, event_kind, to_status, source)
        SELECT c.business_id, c.user_account_id,
               nullif(current_setting('app.user_account_id', true), '')::uuid,
               CASE WHEN nullif(current_setting('app.lifecycle_source', true), '') IS NULL
                    THEN 'invited' ELSE 'created' END,
               c.status, user_mgmt.lifecycle_source(c.user_account_id)
        FROM changed AS c;
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.record_new_accounts() IS
    'A life begins by being invited, or created by a directory. Accounts that are imported bring
     their events along.';

CREATE TRIGGER user_account_record_new
    AFTER INSERT ON user_mgmt.user_account
    REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION user_mgmt.record_new_accounts();

CREATE FUNCTION user_mgmt.record_account_move() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO user_mgmt.user_lifecycle_event
        (business_id, user_account_id, actor_user_account_id, event_kind, from_status, to_status,
         reason, source)
    VALUES (NEW.business_id, NEW.user_account_id,
            nullif(current_setting('app.user_account_id', true), '')::uuid,
            user_mgmt.account_move_kind(OLD.status, NEW.status), OLD.status, NEW.status,
            nullif(current_setting('app.lifecycle_reason', true), ''),
            user_mgmt.lifecycle_source(NEW.user_account_id));
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.record_account_move() IS
    'Writes every move of the status, with the reason that transition_account() was given.';

CREATE TRIGGER user_account_record_move
    AFTER UPDATE OF status ON user_mgmt.user_account
    FOR EACH ROW WHEN (OLD.status <> NEW.status)
    EXECUTE FUNCTION user_mgmt.record_account_move();

CREATE FUNCTION user_mgmt.end_access() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE user_auth.user_session AS s
    SET state = 'revoked', ended_at = greatest(now(), s.last_activity_at), end_reason = 'admin'
    WHERE s.business_id = NEW.business_id AND s.user_account_id = NEW.user_account_id
        AND s.state IN ('active', 'stepped_down');

    UPDATE user_auth.api_key AS k
    SET status = 'revoked', revoked_reason = 'account ' || NEW.status
    WHERE k.business_id = NEW.business_id AND k.owner_user_account_id = NEW.user_account_id
        AND k.service_account_id IS NULL AND k.status IN ('active', 'rotating');

    UPDATE user_rbac.role_delegation AS d
    SET state = 'revoked', revoked_at = now()
    WHERE d.business_id = NEW.business_id
        AND NEW.user_account_id IN (d.holder_id, d.delegate_user_account_id)
        AND d.state IN ('proposed', 'active');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION user_mgmt.end_access() IS
    'Who is suspended or leaves is signed out, loses personal keys, and neither lends nor borrows a
     role. Keys of service accounts work on under their next owner.';

CREATE TRIGGER user_account_end_access
    AFTER UPDATE OF status ON user_mgmt.user_account
    FOR EACH ROW WHEN (OLD.status <> NEW.status AND NEW.status IN ('suspended', 'deactivated'))
    EXECUTE FUNCTION user_mgmt.end_access();


CREATE FUNCTION user_mgmt.open_offboarding(leaver uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant   CONSTANT uuid := tenant_mgmt.current_business_id();
    sessions integer;
    keys     integer;
    manager  uuid;
BEGIN
    SELECT count(*) INTO sessions FROM user_auth.user_session AS s
    WHERE s.business_id = tenant AND s.user_account_id = leaver
        AND s.state = 'revoked' AND s.ended_at >= now();
    SELECT count(*) INTO keys FROM user_auth.api_key AS k
    WHERE k.business_id = tenant AND k.owner_user_account_id = leaver
        AND k.service_account_id IS NULL AND k.status = 'revoked' AND k.updated_at >= now();
    SELECT m.user_account_id INTO manager
    FROM user_mgmt.user_profile AS p
    JOIN user_mgmt.user_account AS m
        ON m.business_id = p.business_id AND m.user_account_id = p.manager_user_account_id
    WHERE p.business_id = tenant AND p.user_account_id = leaver AND m.status = 'active';

    INSERT INTO user_mgmt.offboarding_task
        (business_id, leaver_user_account_id, assigned_to_user_account_id, task_code, state,
         sequence_no, is_automatic, result, due_at, completed_at)
    SELECT tenant, leaver, CASE WHEN NOT t.is_automatic THEN manager END, t.task_code,
           CASE WHEN t.is_automatic THEN 'done' ELSE 'open' END, t.sequence_no, t.is_automatic,
           t.result, now() + t.within, CASE WHEN t.is_automatic THEN now() END
    FROM (VALUES
        ('revoke_sessions', 1, true, format('%s sessions ended', sessions), interval '0'),
        ('revoke_keys', 2, true, format('%s personal keys revoked', keys), interval '0'),
        ('remove_roles', 3, false, NULL, interval '1 day'),
        ('mailbox_delegation', 4, false, NULL, interval '2 days'),
        ('transfer_records', 5, false, NULL, interval '7 days'),
        ('return_equipment', 6, false, NULL, interval '14 days'),
        ('final_review', 7, false, NULL, interval '30 days')
    ) AS t (task_code, sequence_no, is_automatic, result, within)
    ON CONFLICT (business_id, leaver_user_account_id, task_code) DO UPDATE
    SET state = excluded.state, assigned_to_user_account_id = excluded.assigned_to_user_account_id,
        is_automatic = excluded.is_automatic, result = excluded.result, skip_reason = NULL,
        due_at = excluded.due_at, completed_at = excluded.completed_at;
END
$$;
COMMENT ON FUNCTION user_mgmt.open_offboarding(uuid) IS
    'The tasks of a leaver of the calling tenant, for the manager; what the database did by itself
     is done. Whoever leaves a second time has them opened again.';


CREATE FUNCTION user_mgmt.transition_account(account uuid, to_status text, reason text)
    RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    kind   text;
BEGIN
    IF to_status IN ('suspended', 'locked', 'deactivated')
        AND coalesce(reason, '') !~ '\S' THEN
        RAISE EXCEPTION 'an account becomes % for a reason', to_status
            USING ERRCODE = 'null_value_not_allowed';
    END IF;
    SELECT a.account_kind INTO kind FROM user_mgmt.user_account AS a
    WHERE a.business_id = tenant AND a.user_account_id = account
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the business has no account %', account
            USING ERRCODE = 'no_data_found';
    END IF;

    PERFORM set_config('app.lifecycle_reason', coalesce(reason, ''), true);
    UPDATE user_mgmt.user_account AS a
    SET status = transition_account.to_status,
        activated_at = CASE WHEN transition_account.to_status = 'active'
                            THEN coalesce(a.activated_at, now()) ELSE a.activated_at END,
        deactivated_at = CASE transition_account.to_status
                         WHEN 'deactivated' THEN greatest(now(), a.activated_at)
                         WHEN 'active' THEN NULL ELSE a.deactivated_at END
    WHERE a.business_id = tenant AND a.user_account_id = account
        AND a.status <> transition_account.to_status;
    IF FOUND AND to_status = 'deactivated' AND kind IN ('staff', 'contractor') THEN
        PERFORM user_mgmt.open_offboarding(account);
    END IF;
    PERFORM set_config('app.lifecycle_reason', '', true);
END
$$;
COMMENT ON FUNCTION user_mgmt.transition_account(uuid, text, text) IS
    'Moves an account of the calling tenant as its state machine allows, with its times, and writes
     the event. Suspending or deactivating ends sessions, personal keys and delegations; staff and
     contractors who leave get offboarding tasks. Nothing happens where it stands there already.';


CREATE FUNCTION user_mgmt.anonymize_account(account uuid) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
BEGIN
    IF EXISTS (SELECT FROM user_mgmt.service_account AS s
               WHERE s.business_id = tenant AND s.owner_user_account_id = account
                   AND s.status = 'active') THEN
        RAISE EXCEPTION 'account % still answers for a service account', account
            USING ERRCODE = 'check_violation',
                  HINT = 'Give it another owner, or disable it.';
    END IF;
    PERFORM user_mgmt.transition_account(account, 'anonymized', 'erasure');
END
$$;
COMMENT ON FUNCTION user_mgmt.anonymize_account(uuid) IS
    'Erases profile, contacts, preferences and names of a deactivated account of the calling
     tenant (triggers user_account_mask and user_account_erase). Its key stays, so that history
     keeps saying that one and the same person did it, not who.';


CREATE FUNCTION user_mgmt.is_attribute_mapping(mapping jsonb) RETURNS boolean
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN (
        SELECT coalesce(bool_and(pg_input_is_valid('$.' || m.attribute, 'jsonpath')
                                 AND m.target IS NOT NULL
                                 AND m.target IN ('username', 'email', 'display_name', 'status',
                                                  'given_name', 'family_name', 'job_title',
                                                  'employee_reference')), false)
               AND coalesce(bool_or(m.target = 'email'), false)
               AND coalesce(bool_or(m.target = 'status'), false)
               AND count(*) = count(DISTINCT m.target)
        FROM JSON_TABLE(mapping, '$.keyvalue()' COLUMNS (
            attribute text PATH '$.key',
            target    text PATH '$.value')) AS m);
COMMENT ON FUNCTION user_mgmt.is_attribute_mapping(jsonb) IS
    'Whether an object maps attributes, written as paths into an entry, to columns of account and
     profile, each once, e-mail and status among them.';


CREATE TABLE user_mgmt.directory_connection (
    business_id             uuid                    NOT NULL,
    directory_connection_id uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    configured_by           uuid,
    kind                    text                    NOT NULL,
    base_url                text                    NOT NULL,
    bind_dn                 text,
    credential_ref          system_core.vault_ref   NOT NULL,
    user_filter             text,
    attribute_mapping       system_core.json_object NOT NULL,
    sync_mode               text                    NOT NULL DEFAULT 'push',
    deprovision_action      text                    NOT NULL DEFAULT 'suspend',
    is_authoritative        boolean                 NOT NULL DEFAULT false,
    status                  text                    NOT NULL DEFAULT 'active',
    last_synced_at          timestamptz,
    created_at              timestamptz             NOT NULL DEFAULT now(),
    updated_at              timestamptz             NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, directory_connection_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, configured_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT directory_connection_kind_known
        CHECK (kind IN ('scim', 'ldap', 'active_directory', 'google_workspace', 'entra_id',
                        'hris')),
    CONSTRAINT directory_connection_url_is_encrypted
        CHECK (base_url ~ '^(https|ldaps)://[^\s/]+'),
    CONSTRAINT directory_connection_maps_email_and_status
        CHECK (user_mgmt.is_attribute_mapping(attribute_mapping::jsonb)),
    CONSTRAINT directory_connection_sync_mode_known
        CHECK (sync_mode IN ('push', 'pull', 'bind_only')),
    CONSTRAINT directory_connection_deprovision_action_known
        CHECK (deprovision_action IN ('suspend', 'deactivate', 'ignore')),
    CONSTRAINT directory_connection_status_known
        CHECK (status IN ('active', 'paused', 'failing'))
);

COMMENT ON TABLE user_mgmt.directory_connection IS
    'The tenant''s SCIM, LDAP or HR directory that feeds accounts, and can verify passwords.';
COMMENT ON COLUMN user_mgmt.directory_connection.attribute_mapping IS
    'Object of attribute to column, the attribute as a path into an entry:
     {"userName": "username", "emails[0].value": "email", "active": "status"}.';
COMMENT ON COLUMN user_mgmt.directory_connection.sync_mode IS
    'push: it sends changes; pull: a job asks for them; bind_only: it verifies passwords alone.';
COMMENT ON COLUMN user_mgmt.directory_connection.is_authoritative IS
    'What it says of a person overrules what was entered here; else it only fills in.';

-- One directory has the last word.
CREATE UNIQUE INDEX directory_connection_authoritative_idx
    ON user_mgmt.directory_connection (business_id)
    WHERE is_authoritative;

-- FK: who configured it.
CREATE INDEX directory_connection_configured_by_idx
    ON user_mgmt.directory_connection (business_id, configured_by)
    WHERE configured_by IS NOT NULL;

ALTER TABLE user_mgmt.directory_connection ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.directory_connection
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.directory_connection TO app_user;
GRANT SELECT ON user_mgmt.directory_connection TO app_readonly;

CREATE TRIGGER directory_connection_touch
    BEFORE UPDATE ON user_mgmt.directory_connection
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


-- The directory that verifies somebody's password; the enrollment came first.
ALTER TABLE user_auth.auth_enrollment
    ADD FOREIGN KEY (business_id, directory_connection_id)
        REFERENCES user_mgmt.directory_connection (business_id, directory_connection_id);


CREATE TABLE user_mgmt.directory_sync_run (
    business_id             uuid                   NOT NULL,
    directory_sync_run_id   uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    directory_connection_id uuid                   NOT NULL,
    mode                    text                   NOT NULL DEFAULT 'delta',
    state                   text                   NOT NULL DEFAULT 'running',
    seen_count              integer                NOT NULL DEFAULT 0,
    created_count           integer                NOT NULL DEFAULT 0,
    updated_count           integer                NOT NULL DEFAULT 0,
    deactivated_count       integer                NOT NULL DEFAULT 0,
    conflict_count          integer                NOT NULL DEFAULT 0,
    errors                  system_core.json_array NOT NULL DEFAULT '[]',
    cursor_after            text,
    started_at              timestamptz            NOT NULL DEFAULT clock_timestamp(),
    finished_at             timestamptz,
    created_at              timestamptz            NOT NULL DEFAULT now(),
    updated_at              timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, directory_sync_run_id, started_at),
    FOREIGN KEY (business_id, directory_connection_id)
        REFERENCES user_mgmt.directory_connection (business_id, directory_connection_id),
    CONSTRAINT directory_sync_run_mode_known CHECK (mode IN ('full', 'delta', 'event')),
    CONSTRAINT directory_sync_run_state_known
        CHECK (state IN ('running', 'succeeded', 'partial', 'failed')),
    CONSTRAINT directory_sync_run_ends_after_start CHECK (finished_at >= started_at),
    CONSTRAINT directory_sync_run_ended_has_time
        CHECK ((state = 'running') = (finished_at IS NULL)),
    CONSTRAINT directory_sync_run_counts_not_negative
        CHECK (least(created_count, updated_count, deactivated_count, conflict_count) >= 0),
    CONSTRAINT directory_sync_run_counts_what_it_saw
        CHECK (seen_count >= created_count + updated_count + deactivated_count + conflict_count),
    CONSTRAINT directory_sync_run_event_is_one_change CHECK (mode <> 'event' OR seen_count <= 1),
    CONSTRAINT directory_sync_run_stops_its_loss
        CHECK (mode = 'event' OR state = 'failed' OR deactivated_count * 10 <= seen_count)
) PARTITION BY RANGE (started_at);

COMMENT ON TABLE user_mgmt.directory_sync_run IS
    'One synchronization with a directory: what it saw, did and could not do.';
COMMENT ON COLUMN user_mgmt.directory_sync_run.mode IS
    'full: every entry; delta: those that changed since the cursor; event: a single change.';
COMMENT ON COLUMN user_mgmt.directory_sync_run.deactivated_count IS
    'Suspended or deactivated; of a run that was stopped, those who would have been. Beyond a
     tenth of what was seen it stops: the directory, or the filter, is likely to be broken.';
COMMENT ON COLUMN user_mgmt.directory_sync_run.errors IS
    'Array of {external_id, field, message}; v_directory_conflict makes rows of it.';
COMMENT ON COLUMN user_mgmt.directory_sync_run.cursor_after IS
    'From where the next delta goes on, as the directory has it.';

-- FK: the runs of a connection, newest first.
CREATE INDEX directory_sync_run_connection_idx
    ON user_mgmt.directory_sync_run (business_id, directory_connection_id, started_at DESC);

ALTER TABLE user_mgmt.directory_sync_run ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.directory_sync_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON user_mgmt.directory_sync_run TO app_user;
GRANT SELECT ON user_mgmt.directory_sync_run TO app_readonly;

CREATE TABLE user_mgmt.directory_sync_run_default
    PARTITION OF user_mgmt.directory_sync_run DEFAULT;
ALTER TABLE user_mgmt.directory_sync_run_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON user_mgmt.directory_sync_run_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'user_mgmt.directory_sync_run', 'month', behind => 3, ahead => 1);

CREATE TRIGGER directory_sync_run_touch
    BEFORE UPDATE ON user_mgmt.directory_sync_run
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION user_mgmt.match_directory_delta(connection uuid, document jsonb)
    RETURNS TABLE (
        entry_no           integer,
        external_id        text,
        user_account_id    uuid,
        action             text,
        field              text,
        message            text,
        username           text,
        email              text,
        display_name       text,
        given_name         text,
        family_name        text,
        job_title          text,
        employee_reference text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH entry AS (
        SELECT e.entry_no, coalesce(e.id, e.dn) AS external_id, e.is_deleted, e.body
        FROM JSON_TABLE(
            coalesce(match_directory_delta.document -> 'Resources',
                     match_directory_delta.document -> 'entries'),
            '$[*]' COLUMNS (
                entry_no   FOR ORDINALITY,
                id         text    PATH '$.id',
                dn         text    PATH '$.dn',
                is_deleted boolean PATH '$.deleted' DEFAULT false ON EMPTY,
                body       jsonb   PATH '$')) AS e
    ), source AS (
        SELECT c.kind, c.deprovision_action, c.is_authoritative, m.attribute, m.target
        FROM user_mgmt.directory_connection AS c
        CROSS JOIN JSON_TABLE(c.attribute_mapping::jsonb, '$.keyvalue()' COLUMNS (
            attribute text PATH '$.key',
            target    text PATH '$.value')) AS m
        WHERE c.business_id = tenant_mgmt.current_business_id()
            AND c.directory_connection_id = match_directory_delta.connection
    ), said AS (
        SELECT e.entry_no, e.external_id, e.is_deleted, s.kind, s.deprovision_action,
               s.is_authoritative,
               max(v.said) FILTER (WHERE s.target = 'username') AS username,
               lower(max(v.said) FILTER (WHERE s.target = 'email')) AS email,
               max(v.said) FILTER (WHERE s.target = 'display_name') AS display_name,
               max(v.said) FILTER (WHERE s.target = 'given_name') AS given_name,
               max(v.said) FILTER (WHERE s.target = 'family_name') AS family_name,
               max(v.said) FILTER (WHERE s.target = 'job_title') AS job_title,
               max(v.said) FILTER (WHERE s.target = 'employee_reference') AS employee_reference,
               lower(max(v.said) FILTER (WHERE s.target = 'status')) AS status
        FROM entry AS e
        CROSS JOIN source AS s
        CROSS JOIN LATERAL (
            SELECT nullif(btrim(jsonb_path_query_first(
                e.body, ('$.' || s.attribute)::jsonpath, silent => true) #>> '{}'), '') AS said
        ) AS v
        GROUP BY e.entry_no, e.external_id, e.is_deleted, s.kind, s.deprovision_action,
                 s.is_authoritative
    ), found AS (
        SELECT s.*,
               CASE WHEN s.is_deleted THEN false
                    WHEN s.kind = 'active_directory' AND s.status ~ '^[0-9]{1,9}$'
                        THEN s.status::integer & 2 = 0
                    WHEN s.status IN ('true', 'active', 'enabled', '1') THEN true
                    WHEN s.status IN ('false', 'inactive', 'disabled', 'suspended',
                                      'terminated', '0') THEN false END AS is_there,
               coalesce(by_reference.user_account_id, by_name.user_account_id,
                        by_email.user_account_id) AS user_account_id,
               by_name.user_account_id AS has_name, by_email.user_account_id AS has_email
        FROM said AS s
        LEFT JOIN user_mgmt.user_profile AS by_reference
            ON by_reference.business_id = tenant_mgmt.current_business_id()
            AND by_reference.employee_reference = s.employee_reference
        LEFT JOIN user_mgmt.user_account AS by_name
            ON by_name.business_id = tenant_mgmt.current_business_id()
            AND by_name.username = s.username
        LEFT JOIN user_mgmt.user_account AS by_email
            ON by_email.business_id = tenant_mgmt.current_business_id()
            AND by_email.email_normalized = s.email AND by_email.status <> 'anonymized'
    ), judged AS (
        SELECT f.*, a.status AS was,
               CASE
               WHEN f.email !~ '^[^@\s]+@[^@\s]+\.[^@\s]+$' THEN 'email: is no address'
               WHEN f.employee_reference !~ '^[A-Za-z0-9][A-Za-z0-9_.:-]{0,62}$'
                   THEN 'employee_reference: is no reference'
               WHEN NOT f.is_deleted AND f.status IS NOT NULL AND f.is_there IS NULL
                   THEN 'status: is not understood'
               WHEN count(*) OVER (PARTITION BY f.user_account_id) > 1
                       AND f.user_account_id IS NOT NULL
                   THEN 'email: another entry means the same account'
               WHEN count(*) OVER (PARTITION BY f.email) > 1 AND f.email IS NOT NULL
                   THEN 'email: another entry has it too'
               WHEN count(*) OVER (PARTITION BY f.username) > 1 AND f.username IS NOT NULL
                   THEN 'username: another entry has it too'
               WHEN count(*) OVER (PARTITION BY f.employee_reference) > 1
                       AND f.employee_reference IS NOT NULL
                   THEN 'employee_reference: another entry has it too'
               WHEN f.has_email <> f.user_account_id THEN 'email: belongs to another account'
               WHEN f.has_name <> f.user_account_id THEN 'username: belongs to another account'
               WHEN a.account_kind NOT IN ('staff', 'contractor')
                   THEN 'email: belongs to an account that no directory feeds'
               WHEN f.user_account_id IS NULL AND f.is_there AND f.email IS NULL
                   THEN 'email: is missing'
               WHEN f.user_account_id IS NULL AND f.is_there IS NULL THEN 'status: is missing'
               WHEN f.is_there AND a.status IN ('suspended', 'deactivated')
                       AND coalesce(latest.source, 'admin') NOT IN ('scim', 'hr_feed')
                   THEN 'status: the account was taken away here'
               END AS conflict,
               -- What is entered here stays, unless the directory has the last word.
               coalesce(CASE WHEN f.is_authoritative THEN f.username END,
                        a.username, f.username) AS new_username,
               coalesce(CASE WHEN f.is_authoritative THEN f.email END,
                        a.email_normalized, f.email) AS new_email,
               coalesce(CASE WHEN f.is_authoritative THEN f.display_name END,
                        a.display_name, f.display_name) AS new_display_name,
               coalesce(CASE WHEN f.is_authoritative THEN f.given_name END,
                        p.given_name, f.given_name) AS new_given_name,
               coalesce(CASE WHEN f.is_authoritative THEN f.family_name END,
                        p.family_name, f.family_name) AS new_family_name,
               coalesce(CASE WHEN f.is_authoritative THEN f.job_title END,
                        p.job_title, f.job_title) AS new_job_title,
               coalesce(CASE WHEN f.is_authoritative THEN f.employee_reference END,
                        p.employee_reference, f.employee_reference) AS new_employee_reference,
               ROW (a.username, a.email_normalized::text, a.display_name::text,
                    p.given_name::text, p.family_name::text, p.job_title,
                    p.employee_reference::text) AS known
        FROM found AS f
        LEFT JOIN user_mgmt.user_account AS a
            ON a.business_id = tenant_mgmt.current_business_id()
            AND a.user_account_id = f.user_account_id
        LEFT JOIN user_mgmt.user_profile AS p
            ON p.business_id = tenant_mgmt.current_business_id()
            AND p.user_account_id = f.user_account_id
        LEFT JOIN LATERAL (
            SELECT e.source FROM user_mgmt.user_lifecycle_event AS e
            WHERE e.business_id = tenant_mgmt.current_business_id()
                AND e.user_account_id = f.user_account_id AND e.to_status = a.status
            ORDER BY e.occurred_at DESC
            LIMIT 1
        ) AS latest ON true
    )
    SELECT j.entry_no, j.external_id, j.user_account_id,
           CASE WHEN j.conflict IS NOT NULL THEN 'conflict'
                WHEN j.was IS NULL THEN CASE WHEN j.is_there THEN 'created' ELSE 'ignored' END
                WHEN NOT j.is_there THEN
                    CASE WHEN j.was IN ('deactivated', 'anonymized') THEN 'unchanged'
                         WHEN j.deprovision_action = 'ignore' THEN 'ignored'
                         WHEN j.deprovision_action = 'deactivate'
                             OR j.was IN ('invited', 'pending_verification') THEN 'deactivated'
                         WHEN j.was = 'suspended' THEN 'unchanged'
                         ELSE 'suspended' END
                WHEN j.is_there AND j.was IN ('suspended', 'deactivated') THEN 'reinstated'
                WHEN ROW (j.new_username, j.new_email, j.new_display_name, j.new_given_name,
                          j.new_family_name, j.new_job_title, j.new_employee_reference)
                     IS DISTINCT FROM j.known THEN 'updated'
                ELSE 'unchanged' END,
           split_part(j.conflict, ': ', 1), split_part(j.conflict, ': ', 2),
           j.new_username, j.new_email, j.new_display_name, j.new_given_name, j.new_family_name,
           j.new_job_title, j.new_employee_reference
    FROM judged AS j
    ORDER BY j.entry_no;
END;
COMMENT ON FUNCTION user_mgmt.match_directory_delta(uuid, jsonb) IS
    'What apply_directory_delta() would do, entry by entry, for the calling tenant. An entry is the
     account with its employee number, else its username, else its address. Values are those that
     the account will have. A directory brings back whom a directory took away, not whom an
     administrator did.';


CREATE FUNCTION user_mgmt.apply_directory_delta(connection uuid, document jsonb)
    RETURNS TABLE (entry text, account uuid, action text, message text)
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    begun   CONSTANT timestamptz := clock_timestamp();
    kind    CONSTANT text := coalesce(document ->> 'mode', 'delta');
    source  user_mgmt.directory_connection;
    changes jsonb;
    n       record;
    stopped boolean;
    move    record;
BEGIN
    SELECT c.* INTO source FROM user_mgmt.directory_connection AS c
    WHERE c.business_id = tenant AND c.directory_connection_id = connection
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the business has no directory %', connection
            USING ERRCODE = 'no_data_found';
    END IF;
    IF source.status = 'paused' OR source.sync_mode = 'bind_only' THEN
        RAISE EXCEPTION 'directory % does not feed accounts now', source.base_url
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    IF jsonb_typeof(coalesce(document -> 'Resources', document -> 'entries'))
        IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'the document has no entries'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'SCIM lists them as "Resources", LDAP as "entries".';
    END IF;

    -- The new accounts get their keys now, so that the steps below know them.
    SELECT coalesce(jsonb_agg(to_jsonb(m) || CASE WHEN m.action = 'created'
               THEN jsonb_build_object('user_account_id', system_core.uuid_v7())
               ELSE '{}' END ORDER BY m.entry_no), '[]')
    INTO changes
    FROM user_mgmt.match_directory_delta(connection, document) AS m;
    SELECT count(*) AS seen,
           count(*) FILTER (WHERE c.action = 'created') AS created,
           count(*) FILTER (WHERE c.action IN ('updated', 'reinstated')) AS updated,
           count(*) FILTER (WHERE c.action IN ('suspended', 'deactivated')) AS gone,
           count(*) FILTER (WHERE c.action = 'conflict') AS conflicts
    INTO n
    FROM jsonb_to_recordset(changes) AS c (action text);
    IF kind = 'event' AND n.seen > 1 THEN
        RAISE EXCEPTION 'an event is one change, not %', n.seen
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    stopped := kind <> 'event' AND n.gone * 10 > n.seen;

    IF NOT stopped THEN
        PERFORM set_config('app.lifecycle_source',
                           CASE source.kind WHEN 'hris' THEN 'hr_feed' ELSE 'scim' END, true);
        INSERT INTO user_mgmt.user_account
            (business_id, user_account_id, username, email, display_name, account_kind, status,
             locale, time_zone)
        SELECT tenant, c.user_account_id, coalesce(c.username, c.email), c.email,
               coalesce(c.display_name, nullif(concat_ws(' ', c.given_name, c.family_name), ''),
                        c.username, c.email),
               'staff', 'invited', b.locale, b.time_zone
        FROM jsonb_to_recordset(changes) AS c
            (action text, user_account_id uuid, username text, email text, display_name text,
             given_name text, family_name text)
        CROSS JOIN tenant_mgmt.business AS b
        WHERE c.action = 'created' AND b.business_id = tenant;

        -- The directory has verified them.
        UPDATE user_mgmt.user_account AS a
        SET status = 'active', activated_at = now()
        FROM jsonb_to_recordset(changes) AS c (action text, user_account_id uuid)
        WHERE a.business_id = tenant AND a.user_account_id = c.user_account_id
            AND c.action = 'created';

        UPDATE user_mgmt.user_account AS a
        SET username = c.username,
            email = CASE c.email WHEN a.email_normalized THEN a.email ELSE c.email END,
            display_name = c.display_name
        FROM jsonb_to_recordset(changes) AS c
            (action text, user_account_id uuid, username text, email text, display_name text)
        WHERE a.business_id = tenant AND a.user_account_id = c.user_account_id
            AND c.action IN ('updated', 'reinstated');

        INSERT INTO user_mgmt.user_profile AS p
            (business_id, user_account_id, given_name, family_name, job_title,
             employee_reference)
        SELECT tenant, c.user_account_id, c.given_name, c.family_name, c.job_title,
               c.employee_reference
        FROM jsonb_to_recordset(changes) AS c
            (action text, user_account_id uuid, given_name text, family_name text,
             job_title text, employee_reference text)
        WHERE c.action IN ('created', 'updated', 'reinstated')
            AND num_nonnulls(c.given_name, c.family_name, c.job_title,
                             c.employee_reference) > 0
        ON CONFLICT (business_id, user_account_id) DO UPDATE
        SET given_name = excluded.given_name, family_name = excluded.family_name,
            job_title = excluded.job_title, employee_reference = excluded.employee_reference;

        INSERT INTO user_mgmt.user_lifecycle_event
            (business_id, user_account_id, actor_user_account_id, event_kind, source, details)
        SELECT tenant, c.user_account_id,
               nullif(current_setting('app.user_account_id', true), '')::uuid,
               'profile_changed', user_mgmt.lifecycle_source(c.user_account_id),
               jsonb_build_object('directory_connection_id', connection)
        FROM jsonb_to_recordset(changes) AS c (action text, user_account_id uuid)
        WHERE c.action = 'updated';

        FOR move IN
            SELECT c.user_account_id,
                   CASE c.action WHEN 'reinstated' THEN 'active' ELSE c.action END AS to_status
            FROM jsonb_to_recordset(changes) AS c (action text, user_account_id uuid)
            WHERE c.action IN ('suspended', 'deactivated', 'reinstated')
            ORDER BY c.user_account_id
        LOOP
            PERFORM user_mgmt.transition_account(
                move.user_account_id, move.to_status, 'by the directory');
        END LOOP;
        PERFORM set_config('app.lifecycle_source', '', true);
    END IF;

    INSERT INTO user_mgmt.directory_sync_run
        (business_id, directory_connection_id, mode, state, seen_count, created_count,
         updated_count, deactivated_count, conflict_count, errors, cursor_after, started_at,
         finished_at)
    SELECT tenant, connection, kind,
           CASE WHEN stopped THEN 'failed' WHEN n.conflicts > 0 THEN 'partial'
                ELSE 'succeeded' END,
           n.seen, CASE WHEN stopped THEN 0 ELSE n.created END,
           CASE WHEN stopped THEN 0 ELSE n.updated END, n.gone, n.conflicts,
           coalesce(jsonb_agg(jsonb_build_object(
               'external_id', c.external_id, 'field', c.field, 'message', c.message)
               ORDER BY c.entry_no) FILTER (WHERE c.action = 'conflict'), '[]')
           || CASE WHEN stopped THEN jsonb_build_array(jsonb_build_object(
               'external_id', NULL, 'field', 'status',
               'message', format('stopped: %s of %s would lose access', n.gone, n.seen)))
               ELSE '[]' END,
           CASE WHEN NOT stopped THEN document ->> 'cursor' END, begun, clock_timestamp()
    FROM jsonb_to_recordset(changes) AS c
        (entry_no integer, external_id text, action text, field text, message text);

    UPDATE user_mgmt.directory_connection AS c
    SET status = CASE WHEN stopped THEN 'failing' ELSE 'active' END,
        last_synced_at = CASE WHEN stopped THEN c.last_synced_at ELSE now() END
    WHERE c.business_id = tenant AND c.directory_connection_id = connection;

    RETURN QUERY
        SELECT c.external_id, CASE WHEN NOT stopped OR c.action <> 'created'
                                   THEN c.user_account_id END,
               CASE WHEN stopped AND c.action NOT IN ('conflict', 'ignored', 'unchanged')
                    THEN 'stopped' ELSE c.action END,
               c.field || ' ' || c.message
        FROM jsonb_to_recordset(changes) AS c
            (entry_no integer, external_id text, user_account_id uuid, action text, field text,
             message text)
        ORDER BY c.entry_no;
END
$$;
COMMENT ON FUNCTION user_mgmt.apply_directory_delta(uuid, jsonb) IS
    'Applies what a directory of the calling tenant sent: {"mode", "cursor", "Resources" or
     "entries": [...]}, an entry with id or dn, "deleted" where it is gone, and the attributes that
     the connection maps. Creates, updates, suspends or deactivates, and brings back; what does not
     fit is left out and told in the run''s errors. When more than a tenth of the entries would
     lose access nothing is done, the run has failed and the connection is failing. An account
     that no entry means stays as it is. Returns what became of each entry.';


CREATE VIEW user_mgmt.v_directory_conflict
    WITH (security_invoker = true) AS
SELECT r.business_id, r.directory_sync_run_id, r.directory_connection_id, r.started_at,
       e.entry_no, e.external_id, e.field, e.message
FROM user_mgmt.directory_sync_run AS r
CROSS JOIN JSON_TABLE(r.errors::jsonb, '$[*]' COLUMNS (
    entry_no    FOR ORDINALITY,
    external_id text PATH '$.external_id',
    field       text PATH '$.field',
    message     text PATH '$.message')) AS e
WHERE r.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW user_mgmt.v_directory_conflict IS
    'What synchronizations could not do, one row per entry.';
GRANT SELECT ON user_mgmt.v_directory_conflict TO app_user, app_readonly;


CREATE VIEW user_mgmt.v_user_directory
    WITH (security_invoker = true) AS
SELECT a.business_id, a.user_account_id, a.display_name, a.username, a.email_normalized,
       a.account_kind, a.status, a.last_login_at, p.job_title, p.employee_reference,
       unit.org_unit_id, unit.name AS org_unit_name, unit.path AS org_unit_path,
       p.manager_user_account_id, manager.display_name AS manager_name,
       coalesce(held.roles, '{}') AS roles
FROM user_mgmt.user_account AS a
LEFT JOIN user_mgmt.user_profile AS p
    ON p.business_id = a.business_id AND p.user_account_id = a.user_account_id
LEFT JOIN user_mgmt.user_account AS manager
    ON manager.business_id = a.business_id
    AND manager.user_account_id = p.manager_user_account_id
LEFT JOIN LATERAL (
    SELECT u.org_unit_id, u.name, u.path
    FROM user_mgmt.org_unit_member AS m
    JOIN user_mgmt.org_unit AS u
        ON u.business_id = m.business_id AND u.org_unit_id = m.org_unit_id
    WHERE m.business_id = a.business_id AND m.user_account_id = a.user_account_id
        AND m.membership_kind = 'primary' AND m.is_active
        AND m.valid_from <= current_date
        AND (m.valid_until IS NULL OR m.valid_until > current_date)
) AS unit ON true
LEFT JOIN LATERAL (
    SELECT array_agg(DISTINCT r.code::text ORDER BY r.code::text) AS roles
    FROM user_rbac.role_assignment AS g
    JOIN user_rbac.role AS r ON r.business_id = g.business_id AND r.role_id = g.role_id
    WHERE g.business_id = a.business_id AND g.user_account_id = a.user_account_id
        AND g.state = 'active' AND g.valid_from <= now()
        AND (g.valid_until IS NULL OR g.valid_until > now())
) AS held ON true
WHERE a.business_id = tenant_mgmt.current_business_id() AND a.status <> 'anonymized';
COMMENT ON VIEW user_mgmt.v_user_directory IS
    'The people of the tenant with unit, manager, assigned roles, status and last login. Roles that
     come with a unit are in user_rbac.v_role_held.';
GRANT SELECT ON user_mgmt.v_user_directory TO app_user, app_readonly;
