/*
 * The audit trail: one hash chain per tenant that nobody can mend unnoticed.
 *
 * audit_policy says which tables, actions and columns are audited. audit_record is one entry: who
 * did what, before and after. Its record_hash is the hash of the previous record's hash and of the
 * record in canonical form (canonical_audit_bytes), so that a change, a gap or another order
 * breaks the chain from there on. audit_chain_head holds the last position and hash of the
 * tenant's chain; its row lock lets one append at a time. audit_checkpoint is the Merkle root of a
 * span of the chain, signed and kept outside the database: it tells what even a new computation of
 * the whole chain by the owner of the database cannot hide. audit_verification_run is a
 * verification with its result.
 *
 * append_audit() is the only writer that an application has: it may read these tables, not write
 * them. What keeps the chain are the triggers of audit_record, which hold for everybody:
 *   link_audit_record()   gives a record its place, or refuses one that does not fit the head;
 *   move_chain_head()     moves the head to the last record of a statement;
 *   refuse_change()       refuses UPDATE, DELETE and TRUNCATE on the table and its partitions.
 * Where triggers are out of the way (a superuser, a restored backup) verify_audit_chain() finds
 * what was done.
 */

CREATE SCHEMA security_mgmt;
GRANT USAGE ON SCHEMA security_mgmt TO app_user, app_readonly;
COMMENT ON SCHEMA security_mgmt IS
    'The tenant''s security operation: audit trail, detection, exposure and compliance.';


CREATE TABLE security_mgmt.audit_policy (
    business_id             uuid        NOT NULL,
    audit_policy_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    approved_by             uuid,
    schema_name             text        NOT NULL,
    table_name              text        NOT NULL,
    audited_actions         text[]      NOT NULL DEFAULT '{insert,update,delete}',
    masked_columns          text[]      NOT NULL DEFAULT '{}',
    captures_reads          boolean     NOT NULL GENERATED ALWAYS AS (
                                audited_actions @> ARRAY['select']) STORED,
    regulation              text        NOT NULL DEFAULT 'internal',
    retention_years         integer     NOT NULL,
    minimum_retention_years integer     NOT NULL DEFAULT 1,
    is_enabled              boolean     NOT NULL DEFAULT true,
    change_reason           text,
    effective_from          date        NOT NULL DEFAULT current_date,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_policy_id),
    UNIQUE (business_id, schema_name, table_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, approved_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT audit_policy_actions_known
        CHECK (audited_actions <@ ARRAY['insert', 'update', 'delete', 'select', 'login', 'export',
                                        'grant', 'revoke', 'config_change', 'approve']),
    CONSTRAINT audit_policy_regulation_known
        CHECK (regulation IN ('gdpr', 'hipaa', 'sox', 'pci_dss', 'internal')),
    CONSTRAINT audit_policy_kept_long_enough
        CHECK (minimum_retention_years > 0 AND retention_years >= minimum_retention_years),
    CONSTRAINT audit_policy_disabled_by_somebody
        CHECK (is_enabled OR (approved_by IS NOT NULL AND coalesce(change_reason, '') ~ '\S')),
    CONSTRAINT audit_policy_itself_stays_audited
        CHECK (schema_name <> 'security_mgmt' OR table_name <> 'audit_policy'
               OR (is_enabled AND audited_actions @> ARRAY['insert', 'update', 'delete']))
);

COMMENT ON TABLE security_mgmt.audit_policy IS
    'Which actions on a table are audited, which of its columns are masked, how long it is kept.';
COMMENT ON COLUMN security_mgmt.audit_policy.masked_columns IS
    'Stored as keyed hashes, together with those of columns_to_mask().';
COMMENT ON COLUMN security_mgmt.audit_policy.minimum_retention_years IS
    'What the regulation asks of the tenant (HIPAA 6, SOX 7, PCI-DSS 1 at the time of writing).';

-- FK: the policies that somebody approved.
CREATE INDEX audit_policy_approved_by_idx
    ON security_mgmt.audit_policy (business_id, approved_by)
    WHERE approved_by IS NOT NULL;

ALTER TABLE security_mgmt.audit_policy ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_policy
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON security_mgmt.audit_policy TO app_user;
GRANT SELECT ON security_mgmt.audit_policy TO app_readonly;

CREATE TRIGGER audit_policy_touch
    BEFORE UPDATE ON security_mgmt.audit_policy
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION security_mgmt.audit_hash(algorithm text, content bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE algorithm WHEN 'sha512' THEN sha512(content) ELSE sha256(content) END;
COMMENT ON FUNCTION security_mgmt.audit_hash(text, bytea) IS
    'The hash that a chain is made with.';

CREATE FUNCTION security_mgmt.genesis_hash(tenant uuid, algorithm text) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN security_mgmt.audit_hash(algorithm, 'audit chain of '::bytea || uuid_send(tenant));
COMMENT ON FUNCTION security_mgmt.genesis_hash(uuid, text) IS
    'What stands for the previous hash in the first record: another one for each tenant, so that
     no record fits the chain of another.';


CREATE TABLE security_mgmt.audit_chain_head (
    business_id         uuid        NOT NULL,
    audit_chain_head_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    hash_algorithm      text        NOT NULL DEFAULT 'sha256',
    genesis_hash        bytea       NOT NULL GENERATED ALWAYS AS (
                            security_mgmt.genesis_hash(business_id, hash_algorithm)) STORED,
    last_seq            bigint      NOT NULL DEFAULT 0,
    last_hash           bytea       NOT NULL,
    record_count        bigint      NOT NULL GENERATED ALWAYS AS (last_seq) STORED,
    purged_through_seq  bigint      NOT NULL DEFAULT 0,
    key_generation      integer     NOT NULL DEFAULT 1,
    is_sealed           boolean     NOT NULL DEFAULT false,
    opened_at           timestamptz NOT NULL DEFAULT now(),
    last_appended_at    timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_chain_head_id),
    UNIQUE (business_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT audit_chain_head_algorithm_known CHECK (hash_algorithm IN ('sha256', 'sha512')),
    CONSTRAINT audit_chain_head_hash_fits_algorithm
        CHECK (length(last_hash) = CASE hash_algorithm WHEN 'sha512' THEN 64 ELSE 32 END),
    CONSTRAINT audit_chain_head_seq_not_negative CHECK (last_seq >= 0),
    CONSTRAINT audit_chain_head_purged_within CHECK (purged_through_seq BETWEEN 0 AND last_seq),
    CONSTRAINT audit_chain_head_appended_has_time
        CHECK ((last_seq = 0) = (last_appended_at IS NULL)),
    CONSTRAINT audit_chain_head_key_counts_from_1 CHECK (key_generation >= 1)
);

COMMENT ON TABLE security_mgmt.audit_chain_head IS
    'Last position and hash of the tenant''s chain: the row lock that serializes appends. Made by
     the first append; moved by the triggers of audit_record, by nobody else.';
COMMENT ON COLUMN security_mgmt.audit_chain_head.record_count IS
    'Records ever appended; those up to purged_through_seq are no longer kept.';
COMMENT ON COLUMN security_mgmt.audit_chain_head.purged_through_seq IS
    'Records up to here were dropped after their retention, under a checkpoint: see
     drop_expired_audit_partitions().';
COMMENT ON COLUMN security_mgmt.audit_chain_head.key_generation IS
    'Generation of the key of masked values; stands before each of them.';
COMMENT ON COLUMN security_mgmt.audit_chain_head.is_sealed IS
    'Nothing is appended any more; stays so.';

ALTER TABLE security_mgmt.audit_chain_head ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_chain_head
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT ON security_mgmt.audit_chain_head TO app_user, app_readonly;

CREATE TRIGGER audit_chain_head_touch
    BEFORE UPDATE ON security_mgmt.audit_chain_head
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER audit_chain_head_stays
    BEFORE DELETE ON security_mgmt.audit_chain_head
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_chain_head');

CREATE TRIGGER audit_chain_head_not_truncated
    BEFORE TRUNCATE ON security_mgmt.audit_chain_head
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_chain_head');

CREATE FUNCTION security_mgmt.guard_chain_head() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        NEW.last_seq := 0;
        NEW.last_hash := security_mgmt.genesis_hash(NEW.business_id, NEW.hash_algorithm);
        NEW.last_appended_at := NULL;
        NEW.purged_through_seq := 0;
        RETURN NEW;
    END IF;

    IF (NEW.business_id, NEW.audit_chain_head_id, NEW.hash_algorithm, NEW.opened_at)
           IS DISTINCT FROM
       (OLD.business_id, OLD.audit_chain_head_id, OLD.hash_algorithm, OLD.opened_at)
       OR NEW.key_generation < OLD.key_generation
       OR NEW.purged_through_seq < OLD.purged_through_seq
       OR (OLD.is_sealed AND NOT NEW.is_sealed) THEN
        RAISE EXCEPTION 'the head of an audit chain keeps what it was opened with'
            USING ERRCODE = 'restrict_violation';
    END IF;

    IF (NEW.last_seq, NEW.last_hash, NEW.last_appended_at)
           IS DISTINCT FROM (OLD.last_seq, OLD.last_hash, OLD.last_appended_at)
       -- Depth 1 is this trigger under a plain UPDATE, depth 2 under the triggers of audit_record.
       AND (pg_trigger_depth() < 2
            OR NEW.last_seq <= OLD.last_seq
            OR NOT EXISTS (
                SELECT FROM security_mgmt.audit_record AS r
                WHERE r.business_id = NEW.business_id
                  AND r.chain_seq = NEW.last_seq
                  AND r.record_hash = NEW.last_hash
                  AND r.recorded_at = NEW.last_appended_at)) THEN
        RAISE EXCEPTION 'the head of an audit chain moves with a new record only'
            USING ERRCODE = 'restrict_violation', HINT = 'Call security_mgmt.append_audit().';
    END IF;

    IF NEW.purged_through_seq > OLD.purged_through_seq
       AND (EXISTS (SELECT FROM security_mgmt.audit_record AS r
                    WHERE r.business_id = NEW.business_id
                      AND r.chain_seq <= NEW.purged_through_seq)
            OR NOT EXISTS (SELECT FROM security_mgmt.audit_checkpoint AS c
                           WHERE c.business_id = NEW.business_id
                             AND c.to_seq >= NEW.purged_through_seq
                             AND c.anchored_at IS NOT NULL)) THEN
        RAISE EXCEPTION 'records up to % are not purged under an anchored checkpoint',
            NEW.purged_through_seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.guard_chain_head() IS
    'A chain opens empty. Its head goes forward only, to a record that is there, by the triggers of
     audit_record only; what it was opened with stays.';

CREATE TRIGGER audit_chain_head_guard
    BEFORE INSERT OR UPDATE ON security_mgmt.audit_chain_head
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.guard_chain_head();

CREATE FUNCTION security_mgmt.lock_chain_head(tenant uuid)
    RETURNS security_mgmt.audit_chain_head
    LANGUAGE plpgsql AS $$
DECLARE
    head security_mgmt.audit_chain_head;
BEGIN
    SELECT * INTO head FROM security_mgmt.audit_chain_head AS h
    WHERE h.business_id = tenant
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        INSERT INTO security_mgmt.audit_chain_head
            (business_id, opened_at, created_at, updated_at)
        VALUES (tenant, now(), now(), now())
        ON CONFLICT (business_id) DO NOTHING;
        SELECT * INTO head FROM security_mgmt.audit_chain_head AS h
        WHERE h.business_id = tenant
        FOR NO KEY UPDATE;
    END IF;
    IF head.is_sealed THEN
        RAISE EXCEPTION 'the audit chain of the business is sealed'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN head;
END
$$;
COMMENT ON FUNCTION security_mgmt.lock_chain_head(uuid) IS
    'Waits until nobody else appends to the chain, which it opens on first use; the tenant is an
     argument because a trigger calls it. Needs rights that the application does not have.';
REVOKE EXECUTE ON FUNCTION security_mgmt.lock_chain_head(uuid) FROM PUBLIC;


CREATE TABLE security_mgmt.audit_record (
    business_id           uuid                    NOT NULL,
    audit_record_id       uuid                    NOT NULL DEFAULT system_core.uuid_v7(),
    actor_user_account_id uuid,
    audit_policy_id       uuid,
    chain_seq             bigint                  NOT NULL,
    actor_kind            text                    NOT NULL,
    action                text                    NOT NULL,
    schema_name           text                    NOT NULL,
    table_name            text                    NOT NULL,
    entity_id             uuid,
    old_row               system_core.json_object,
    new_row               system_core.json_object,
    reason                text,
    client_ip             inet,
    session_key           uuid,
    transaction_id        bigint,
    recorded_at           timestamptz             NOT NULL,
    previous_hash         bytea                   NOT NULL,
    record_hash           bytea                   NOT NULL,
    PRIMARY KEY (business_id, audit_record_id, recorded_at),
    -- verify_audit_chain() walks along it.
    UNIQUE (business_id, chain_seq, recorded_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, audit_policy_id)
        REFERENCES security_mgmt.audit_policy (business_id, audit_policy_id),
    CONSTRAINT audit_record_seq_counts_from_1 CHECK (chain_seq >= 1),
    CONSTRAINT audit_record_time_is_finite CHECK (isfinite(recorded_at)),
    CONSTRAINT audit_record_actor_kind_known
        CHECK (actor_kind IN ('user', 'service', 'system', 'support')),
    CONSTRAINT audit_record_user_is_known
        CHECK (actor_kind <> 'user' OR actor_user_account_id IS NOT NULL),
    CONSTRAINT audit_record_action_known
        CHECK (action IN ('insert', 'update', 'delete', 'select', 'login', 'export', 'grant',
                          'revoke', 'config_change', 'approve')),
    CONSTRAINT audit_record_images_fit_action
        CHECK (CASE action
                   WHEN 'insert' THEN old_row IS NULL AND new_row IS NOT NULL
                   WHEN 'update' THEN old_row IS NOT NULL AND new_row IS NOT NULL
                   WHEN 'delete' THEN old_row IS NOT NULL AND new_row IS NULL
                   ELSE true END)
) PARTITION BY RANGE (recorded_at);

COMMENT ON TABLE security_mgmt.audit_record IS
    'One immutable audit entry: who, what, before and after, chained to the entry before it. Every
     column but the two hashes is in its canonical form; written by append_audit().';
COMMENT ON COLUMN security_mgmt.audit_record.chain_seq IS
    'Dense per business: 1, 2, 3 and so on; given by trigger, as are both hashes.';
COMMENT ON COLUMN security_mgmt.audit_record.recorded_at IS
    'The clock after the head was locked: never before the previous record''s.';
COMMENT ON COLUMN security_mgmt.audit_record.session_key IS
    'The session of user_auth, which may be gone by now: no foreign key.';
COMMENT ON COLUMN security_mgmt.audit_record.record_hash IS
    'audit_hash(previous_hash || canonical_audit_bytes(the record)).';

-- entity_audit_history: who changed this record?
CREATE INDEX audit_record_entity_idx
    ON security_mgmt.audit_record
       (business_id, schema_name, table_name, entity_id, recorded_at DESC);

-- user_audit_history: what did a user do? FK actor_user_account_id.
CREATE INDEX audit_record_actor_idx
    ON security_mgmt.audit_record (business_id, actor_user_account_id, recorded_at DESC)
    WHERE actor_user_account_id IS NOT NULL;

-- FK audit_policy_id; drop_expired_audit_partitions(): the newest record of a policy.
CREATE INDEX audit_record_policy_idx
    ON security_mgmt.audit_record (business_id, audit_policy_id, recorded_at)
    WHERE audit_policy_id IS NOT NULL;

ALTER TABLE security_mgmt.audit_record ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_record
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT ON security_mgmt.audit_record TO app_user, app_readonly;

CREATE TRIGGER audit_record_append_only
    BEFORE UPDATE OR DELETE ON security_mgmt.audit_record
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_record');

CREATE TRIGGER audit_record_not_truncated
    BEFORE TRUNCATE ON security_mgmt.audit_record
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_record');

-- The canonical form is text: numbers, keys and addresses end with a semicolon, which none of them
-- contains; a text stands behind its length, so that no two records have the same form. A NULL is
-- empty and a NULL text has no length. Nothing in it depends on the settings of a session: the time
-- is in microseconds since 1970, and a jsonb has one text form.
CREATE FUNCTION security_mgmt.canonical_audit_bytes(entry security_mgmt.audit_record)
    RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN convert_to(concat(
        'audit-record-1;',
        entry.business_id, ';',
        entry.audit_record_id, ';',
        entry.chain_seq, ';',
        (extract(epoch FROM entry.recorded_at) * 1000000)::bigint, ';',
        entry.actor_user_account_id, ';',
        entry.audit_policy_id, ';',
        entry.entity_id, ';',
        entry.session_key, ';',
        entry.transaction_id, ';',
        entry.client_ip, ';',
        length(entry.actor_kind), ':', entry.actor_kind,
        length(entry.action), ':', entry.action,
        length(entry.schema_name), ':', entry.schema_name,
        length(entry.table_name), ':', entry.table_name,
        length(entry.reason), ':', entry.reason,
        length(entry.old_row::text), ':', entry.old_row,
        length(entry.new_row::text), ':', entry.new_row), 'UTF8');
COMMENT ON FUNCTION security_mgmt.canonical_audit_bytes(security_mgmt.audit_record) IS
    'What the hash of a record is taken over: every column but the hashes, in a fixed order, in
     UTF-8, the same in every session. An auditor computes it anew from an export.';

CREATE FUNCTION security_mgmt.link_audit_record() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    head    CONSTANT security_mgmt.audit_chain_head :=
        security_mgmt.lock_chain_head(NEW.business_id);
    last_seq  bigint      := head.last_seq;
    last_hash bytea       := head.last_hash;
    last_time timestamptz := head.last_appended_at;
    entry     security_mgmt.audit_record;
    newest    record;
BEGIN
    -- Rows of this statement: the head follows when it ends.
    SELECT r.chain_seq, r.record_hash, r.recorded_at INTO newest
    FROM security_mgmt.audit_record AS r
    WHERE r.business_id = NEW.business_id
      AND r.chain_seq > head.last_seq
      AND r.recorded_at >= coalesce(head.last_appended_at, '-infinity')
    ORDER BY r.chain_seq DESC, r.recorded_at DESC
    LIMIT 1;
    IF FOUND THEN
        last_seq := newest.chain_seq;
        last_hash := newest.record_hash;
        last_time := newest.recorded_at;
    END IF;

    IF NEW.recorded_at < last_time THEN
        RAISE EXCEPTION 'audit record % is of %, before the one it follows (%)',
            last_seq + 1, NEW.recorded_at, last_time
            USING ERRCODE = 'check_violation', HINT = 'Append records in the order of time.';
    END IF;
    IF NEW.chain_seq <> last_seq + 1 THEN
        RAISE EXCEPTION 'audit record % does not follow %', NEW.chain_seq, last_seq
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.chain_seq := last_seq + 1;
    IF NEW.previous_hash <> last_hash THEN
        RAISE EXCEPTION 'audit record % names another previous hash', NEW.chain_seq
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.previous_hash := last_hash;

    entry := NEW;
    entry.record_hash := security_mgmt.audit_hash(
        head.hash_algorithm, last_hash || security_mgmt.canonical_audit_bytes(entry));
    IF NEW.record_hash <> entry.record_hash THEN
        RAISE EXCEPTION 'audit record % has another hash', NEW.chain_seq
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.record_hash := entry.record_hash;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.link_audit_record() IS
    'Under the lock of the head gives a record its place in the chain and its hashes; one that
     brings them along must bring the right ones. Holds for everybody, the owner and the loader
     too. Leaves recorded_at alone: a row trigger may not move a row to another partition.';

CREATE TRIGGER audit_record_link
    BEFORE INSERT ON security_mgmt.audit_record
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.link_audit_record();

CREATE FUNCTION security_mgmt.move_chain_head() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    newest record;
BEGIN
    FOR newest IN
        SELECT DISTINCT ON (a.business_id)
               a.business_id, a.chain_seq, a.record_hash, a.recorded_at
        FROM added AS a
        ORDER BY a.business_id, a.chain_seq DESC
    LOOP
        UPDATE security_mgmt.audit_chain_head AS h
        SET last_seq = newest.chain_seq, last_hash = newest.record_hash,
            last_appended_at = newest.recorded_at
        WHERE h.business_id = newest.business_id;
    END LOOP;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.move_chain_head() IS
    'Moves the head of each chain to the last record that the statement appended.';

CREATE TRIGGER audit_record_move_head
    AFTER INSERT ON security_mgmt.audit_record REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.move_chain_head();

CREATE TABLE security_mgmt.audit_record_default PARTITION OF security_mgmt.audit_record DEFAULT;
ALTER TABLE security_mgmt.audit_record_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_record_default
    USING (business_id = tenant_mgmt.current_business_id());

CREATE TRIGGER audit_record_not_truncated
    BEFORE TRUNCATE ON security_mgmt.audit_record_default
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_record');

-- The partitions that it makes get the trigger on TRUNCATE too.
SELECT system_core.create_partitions(
    'security_mgmt.audit_record', 'month', behind => 3, ahead => 1);


CREATE FUNCTION security_mgmt.hmac_sha256(message bytea, secret bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT sha256(k.outer_pad || sha256(k.inner_pad || message))
    FROM (
        SELECT string_agg(set_byte('\x00', 0, get_byte(p.padded, i.place) # 54), ''
                          ORDER BY i.place) AS inner_pad,
               string_agg(set_byte('\x00', 0, get_byte(p.padded, i.place) # 92), ''
                          ORDER BY i.place) AS outer_pad
        FROM (SELECT s.short || decode(repeat('00', 64 - length(s.short)), 'hex') AS padded
              FROM (SELECT CASE WHEN length(secret) > 64 THEN sha256(secret)
                                ELSE secret END AS short) AS s) AS p
        CROSS JOIN generate_series(0, 63) AS i (place)
    ) AS k;
END;
COMMENT ON FUNCTION security_mgmt.hmac_sha256(bytea, bytea) IS
    'HMAC-SHA-256 (RFC 2104), without an extension.';

CREATE FUNCTION security_mgmt.masked_row(
    image jsonb, hidden text[], generation integer, secret bytea
) RETURNS jsonb
    LANGUAGE plpgsql STABLE PARALLEL SAFE AS $$
#variable_conflict use_column
BEGIN
    RETURN image || (
        SELECT coalesce(jsonb_object_agg(e.key, CASE
                   WHEN e.value = 'null' THEN e.value
                   WHEN secret IS NULL THEN to_jsonb('masked'::text)
                   ELSE to_jsonb(format('k%s:%s', generation, encode(security_mgmt.hmac_sha256(
                            convert_to(e.value::text, 'UTF8'), secret), 'hex')))
               END), '{}')
        FROM jsonb_each(image) AS e (key, value)
        WHERE e.key = ANY (hidden));
END
$$;
COMMENT ON FUNCTION security_mgmt.masked_row(jsonb, text[], integer, bytea) IS
    'A row image whose hidden values are keyed hashes: equal values can be told to be equal, by who
     has the key also what they are. Without a key they are gone.';


CREATE FUNCTION security_mgmt.append_audit(
    action      text,
    schema_name text,
    table_name  text,
    entity_id   uuid,
    old_row     jsonb DEFAULT NULL,
    new_row     jsonb DEFAULT NULL,
    reason      text  DEFAULT NULL
) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    tenant  CONSTANT uuid  := tenant_mgmt.current_business_id();
    actor   CONSTANT uuid  := nullif(current_setting('app.user_account_id', true), '');
    session CONSTANT uuid  := nullif(current_setting('app.session_key', true), '');
    secret  CONSTANT bytea := convert_to(
        nullif(current_setting('app.audit_mask_key', true), ''), 'UTF8');
    policy  uuid;
    hidden  text[];
    head    security_mgmt.audit_chain_head;
    placed  bigint;
BEGIN
    SELECT p.audit_policy_id, p.masked_columns INTO policy, hidden
    FROM security_mgmt.audit_policy AS p
    WHERE p.business_id = tenant
      AND p.schema_name = append_audit.schema_name
      AND p.table_name = append_audit.table_name;
    hidden := hidden || security_mgmt.columns_to_mask(
        append_audit.schema_name, append_audit.table_name);

    head := security_mgmt.lock_chain_head(tenant);
    INSERT INTO security_mgmt.audit_record
        (business_id, actor_user_account_id, audit_policy_id, actor_kind, action, schema_name,
         table_name, entity_id, old_row, new_row, reason, client_ip, session_key,
         transaction_id, recorded_at)
    VALUES (
        tenant, actor, policy,
        coalesce(nullif(current_setting('app.actor_kind', true), ''),
                 CASE WHEN actor IS NULL THEN 'system' ELSE 'user' END),
        append_audit.action, append_audit.schema_name, append_audit.table_name,
        append_audit.entity_id,
        security_mgmt.masked_row(append_audit.old_row, hidden, head.key_generation, secret),
        security_mgmt.masked_row(append_audit.new_row, hidden, head.key_generation, secret),
        append_audit.reason,
        coalesce(nullif(current_setting('app.client_ip', true), '')::inet, inet_client_addr()),
        session, pg_current_xact_id()::text::bigint,
        -- After the lock; a clock that was set back does not turn the order around.
        greatest(clock_timestamp(), head.last_appended_at))
    RETURNING chain_seq INTO placed;
    RETURN placed;
END
$$;
COMMENT ON FUNCTION security_mgmt.append_audit(text, text, text, uuid, jsonb, jsonb, text) IS
    'Appends a record to the chain of the calling tenant and returns its place. The actor comes from
     app.user_account_id, app.actor_kind, app.session_key and app.client_ip; values that the policy
     or data_classification_rule hides are hashed under app.audit_mask_key. SECURITY DEFINER because
     the application may not write the trail in any other way: it reads the tenant itself, and the
     owner is held to the tenant''s rows by forced row security. The head stays locked to the end of
     the transaction: append last.';
REVOKE EXECUTE ON FUNCTION
    security_mgmt.append_audit(text, text, text, uuid, jsonb, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    security_mgmt.append_audit(text, text, text, uuid, jsonb, jsonb, text) TO app_user;


CREATE FUNCTION security_mgmt.audit_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    happened CONSTANT text  := lower(TG_OP);
    old_row  CONSTANT jsonb := to_jsonb(OLD);
    new_row  CONSTANT jsonb := to_jsonb(NEW);
BEGIN
    -- Who imports history imports its audit records too.
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (
        SELECT FROM security_mgmt.audit_policy AS p
        WHERE p.business_id = tenant_mgmt.current_business_id()
          AND p.schema_name = TG_ARGV[0] AND p.table_name = TG_ARGV[1]
          AND NOT (p.is_enabled AND happened = ANY (p.audited_actions))) THEN
        PERFORM security_mgmt.append_audit(
            happened, TG_ARGV[0], TG_ARGV[1],
            (coalesce(new_row, old_row) ->> (TG_ARGV[1] || '_id'))::uuid, old_row, new_row,
            nullif(current_setting('app.change_cause', true), ''));
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.audit_change() IS
    'Writes a change of a row to the trail, unless a policy says that it is not audited; the
     arguments are schema and table.';

CREATE TRIGGER audit_policy_audited
    AFTER INSERT OR UPDATE OR DELETE ON security_mgmt.audit_policy
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.audit_change('security_mgmt', 'audit_policy');


CREATE FUNCTION security_mgmt.audit_changed_columns(old_row jsonb, new_row jsonb)
    RETURNS TABLE (column_name text, old_value jsonb, new_value jsonb)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT coalesce(o.key, n.key), o.value, n.value
    FROM JSON_TABLE(old_row, '$.keyvalue()' COLUMNS (
        key text PATH '$.key', value jsonb PATH '$.value')) AS o
    FULL JOIN JSON_TABLE(new_row, '$.keyvalue()' COLUMNS (
        key text PATH '$.key', value jsonb PATH '$.value')) AS n ON n.key = o.key
    WHERE n.value IS DISTINCT FROM o.value
    ORDER BY 1;
END;
COMMENT ON FUNCTION security_mgmt.audit_changed_columns(jsonb, jsonb) IS
    'The columns in which two row images differ, with both values; NULL is no value at all.';


CREATE FUNCTION security_mgmt.merkle_leaves(leaves bytea[]) RETURNS bytea[]
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
BEGIN ATOMIC
    SELECT array_agg(sha256('\x00'::bytea || l.leaf) ORDER BY l.place)
    FROM unnest(leaves) WITH ORDINALITY AS l (leaf, place);
END;
COMMENT ON FUNCTION security_mgmt.merkle_leaves(bytea[]) IS
    'The lowest level of a Merkle tree: each leaf hashed behind 0x00, so that it is never taken for
     a node.';

CREATE FUNCTION security_mgmt.merkle_parents(nodes bytea[]) RETURNS bytea[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    size    CONSTANT integer := cardinality(nodes);
    parents bytea[]          := '{}';
BEGIN
    FOR place IN 1 .. size / 2 LOOP
        parents[place] := sha256('\x01'::bytea || nodes[2 * place - 1] || nodes[2 * place]);
    END LOOP;
    IF size % 2 = 1 THEN
        parents := parents || nodes[size];
    END IF;
    RETURN parents;
END
$$;
COMMENT ON FUNCTION security_mgmt.merkle_parents(bytea[]) IS
    'The next level of a Merkle tree: pairs hashed behind 0x01; one without a partner goes up as it
     is, which makes the tree of RFC 6962.';

CREATE FUNCTION security_mgmt.merkle_root(leaves bytea[]) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    level bytea[] := security_mgmt.merkle_leaves(leaves);
BEGIN
    WHILE cardinality(level) > 1 LOOP
        level := security_mgmt.merkle_parents(level);
    END LOOP;
    RETURN coalesce(level[1], sha256(''::bytea));
END
$$;
COMMENT ON FUNCTION security_mgmt.merkle_root(bytea[]) IS
    'Root of the Merkle tree over the leaves (RFC 6962); of none it is the hash of nothing.';


CREATE TABLE security_mgmt.audit_checkpoint (
    business_id              uuid                  NOT NULL,
    audit_checkpoint_id      uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    from_seq                 bigint                NOT NULL,
    to_seq                   bigint                NOT NULL,
    record_count             bigint                NOT NULL GENERATED ALWAYS AS (
                                 to_seq - from_seq + 1) STORED,
    merkle_root              system_core.sha256    NOT NULL,
    previous_checkpoint_hash system_core.sha256,
    signature                bytea,
    signing_key_ref          system_core.vault_ref,
    anchored_to              text,
    anchor_reference         text,
    anchored_at              timestamptz,
    created_on               date                  NOT NULL DEFAULT current_date,
    created_at               timestamptz           NOT NULL DEFAULT now(),
    updated_at               timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_checkpoint_id),
    UNIQUE (business_id, from_seq),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT audit_checkpoint_span_not_empty CHECK (from_seq >= 1 AND to_seq >= from_seq),
    CONSTRAINT audit_checkpoint_first_has_no_previous
        CHECK ((from_seq = 1) = (previous_checkpoint_hash IS NULL)),
    CONSTRAINT audit_checkpoint_signed_with_a_key
        CHECK ((signature IS NULL) = (signing_key_ref IS NULL)),
    CONSTRAINT audit_checkpoint_anchor_known
        CHECK (anchored_to IN ('object_lock_bucket', 'timestamp_authority', 'transparency_log',
                               'printed')),
    CONSTRAINT audit_checkpoint_anchored_whole
        CHECK ((anchored_to IS NULL) = (anchored_at IS NULL)
               AND (anchored_to IS NULL) = (anchor_reference IS NULL)),
    CONSTRAINT audit_checkpoint_anchored_is_signed
        CHECK (anchored_at IS NULL OR signature IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.audit_checkpoint IS
    'Merkle root over a span of the chain. Spans follow each other without a gap. A checkpoint is
     signed once and anchored outside the database once; nothing else of it ever changes.';
COMMENT ON COLUMN security_mgmt.audit_checkpoint.merkle_root IS
    'Over the record hashes of the span; computed by trigger.';
COMMENT ON COLUMN security_mgmt.audit_checkpoint.previous_checkpoint_hash IS
    'checkpoint_hash() of the one before, which chains the checkpoints too; set by trigger.';
COMMENT ON COLUMN security_mgmt.audit_checkpoint.anchor_reference IS
    'Where it can be looked up: object version, time-stamp token, log entry, page.';

ALTER TABLE security_mgmt.audit_checkpoint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_checkpoint
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON security_mgmt.audit_checkpoint TO app_user;
GRANT SELECT ON security_mgmt.audit_checkpoint TO app_readonly;

CREATE TRIGGER audit_checkpoint_touch
    BEFORE UPDATE ON security_mgmt.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER audit_checkpoint_stays
    BEFORE DELETE ON security_mgmt.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_checkpoint');

CREATE TRIGGER audit_checkpoint_not_truncated
    BEFORE TRUNCATE ON security_mgmt.audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_checkpoint');

CREATE FUNCTION security_mgmt.checkpoint_hash(checkpoint security_mgmt.audit_checkpoint)
    RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN sha256(convert_to(concat(
        'audit-checkpoint-1;',
        checkpoint.business_id, ';',
        checkpoint.from_seq, ';',
        checkpoint.to_seq, ';',
        encode(checkpoint.merkle_root, 'hex'), ';',
        encode(checkpoint.previous_checkpoint_hash, 'hex'), ';'), 'UTF8'));
COMMENT ON FUNCTION security_mgmt.checkpoint_hash(security_mgmt.audit_checkpoint) IS
    'What is signed, and what the next checkpoint holds of this one.';

CREATE FUNCTION security_mgmt.seal_checkpoint() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    previous security_mgmt.audit_checkpoint;
    leaves   bytea[];
    root     bytea;
BEGIN
    SELECT * INTO previous FROM security_mgmt.audit_checkpoint AS c
    WHERE c.business_id = NEW.business_id
    ORDER BY c.from_seq DESC LIMIT 1;
    IF NEW.from_seq <> coalesce(previous.to_seq, 0) + 1 THEN
        RAISE EXCEPTION 'a checkpoint from % does not follow the one up to %',
            NEW.from_seq, coalesce(previous.to_seq, 0)
            USING ERRCODE = 'check_violation';
    END IF;

    SELECT array_agg(r.record_hash ORDER BY r.chain_seq) INTO leaves
    FROM security_mgmt.audit_record AS r
    WHERE r.business_id = NEW.business_id AND r.chain_seq BETWEEN NEW.from_seq AND NEW.to_seq;
    IF coalesce(cardinality(leaves), 0) <> NEW.to_seq - NEW.from_seq + 1 THEN
        RAISE EXCEPTION 'the records from % to % are not all there', NEW.from_seq, NEW.to_seq
            USING ERRCODE = 'check_violation';
    END IF;
    root := security_mgmt.merkle_root(leaves);
    IF NEW.merkle_root <> root THEN
        RAISE EXCEPTION 'the records from % to % have another root', NEW.from_seq, NEW.to_seq
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.merkle_root := root;
    NEW.previous_checkpoint_hash := CASE WHEN previous.to_seq IS NOT NULL
                                         THEN security_mgmt.checkpoint_hash(previous) END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.seal_checkpoint() IS
    'A checkpoint follows the one before without a gap, and its root is that of the records.';

CREATE TRIGGER audit_checkpoint_seal
    BEFORE INSERT ON security_mgmt.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.seal_checkpoint();

CREATE FUNCTION security_mgmt.keep_checkpoint() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    -- record_count is generated, and not known yet.
    later CONSTANT text[] := ARRAY['signature', 'signing_key_ref', 'anchored_to', 'record_count',
                                   'anchor_reference', 'anchored_at', 'updated_at'];
BEGIN
    IF to_jsonb(NEW) - later <> to_jsonb(OLD) - later
       OR (OLD.signature IS NOT NULL
           AND (NEW.signature, NEW.signing_key_ref)
               IS DISTINCT FROM (OLD.signature, OLD.signing_key_ref))
       OR (OLD.anchored_at IS NOT NULL
           AND (NEW.anchored_to, NEW.anchor_reference, NEW.anchored_at)
               IS DISTINCT FROM (OLD.anchored_to, OLD.anchor_reference, OLD.anchored_at)) THEN
        RAISE EXCEPTION 'the checkpoint from % to % stays as it is', OLD.from_seq, OLD.to_seq
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.keep_checkpoint() IS
    'A checkpoint is signed once and anchored once; the rest stays as it was built.';

CREATE TRIGGER audit_checkpoint_keep
    BEFORE UPDATE ON security_mgmt.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.keep_checkpoint();


CREATE FUNCTION security_mgmt.build_audit_checkpoint(to_seq bigint DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    first  bigint;
    last   bigint;
    built  uuid;
BEGIN
    SELECT coalesce(max(c.to_seq), 0) + 1 INTO first
    FROM security_mgmt.audit_checkpoint AS c WHERE c.business_id = tenant;
    SELECT coalesce(build_audit_checkpoint.to_seq, h.last_seq) INTO last
    FROM security_mgmt.audit_chain_head AS h WHERE h.business_id = tenant;
    IF last IS NULL OR last < first THEN
        RETURN NULL;
    END IF;
    INSERT INTO security_mgmt.audit_checkpoint (business_id, from_seq, to_seq)
    VALUES (tenant, first, last)
    RETURNING audit_checkpoint_id INTO built;
    RETURN built;
END
$$;
COMMENT ON FUNCTION security_mgmt.build_audit_checkpoint(bigint) IS
    'A checkpoint of the calling tenant''s chain from the last one up to a record, by default the
     newest; ready to be signed (checkpoint_hash()). NULL when there is nothing new. Of two at once
     one fails on the unique from_seq.';

CREATE FUNCTION security_mgmt.audit_inclusion_proof(of_seq bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    checkpoint security_mgmt.audit_checkpoint;
    leaves  bytea[];
    level   bytea[];
    place   bigint;
    sibling bigint;
    path    jsonb := '[]';
BEGIN
    SELECT * INTO checkpoint FROM security_mgmt.audit_checkpoint AS c
    WHERE c.business_id = tenant AND c.from_seq <= of_seq
    ORDER BY c.from_seq DESC LIMIT 1;
    SELECT array_agg(r.record_hash ORDER BY r.chain_seq, r.recorded_at) INTO leaves
    FROM security_mgmt.audit_record AS r
    WHERE r.business_id = tenant
      AND r.chain_seq BETWEEN checkpoint.from_seq AND checkpoint.to_seq;
    IF checkpoint.to_seq IS NULL OR of_seq > checkpoint.to_seq
       OR cardinality(leaves) IS DISTINCT FROM checkpoint.record_count THEN
        RETURN NULL;
    END IF;

    level := security_mgmt.merkle_leaves(leaves);
    place := of_seq - checkpoint.from_seq;
    WHILE cardinality(level) > 1 LOOP
        sibling := place # 1;
        IF sibling < cardinality(level) THEN
            path := path || to_jsonb(encode(level[sibling + 1], 'hex'));
        END IF;
        level := security_mgmt.merkle_parents(level);
        place := place / 2;
    END LOOP;
    RETURN jsonb_build_object(
        'chain_seq', of_seq,
        'record_hash', encode(leaves[of_seq - checkpoint.from_seq + 1], 'hex'),
        'checkpoint', checkpoint.audit_checkpoint_id,
        'leaf_index', of_seq - checkpoint.from_seq,
        'tree_size', checkpoint.record_count,
        'merkle_root', encode(checkpoint.merkle_root, 'hex'),
        'path', path);
END
$$;
COMMENT ON FUNCTION security_mgmt.audit_inclusion_proof(bigint) IS
    'The hashes that lead from a record of the calling tenant to the root of its checkpoint, from
     the leaf up; NULL where no checkpoint holds it yet, or not all records of its span are there.';

CREATE FUNCTION security_mgmt.verify_inclusion_proof(
    record_hash bytea, merkle_root bytea, proof jsonb
) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    place bigint := proof ->> 'leaf_index';
    final bigint := (proof ->> 'tree_size')::bigint - 1;
    hash  bytea  := sha256('\x00'::bytea || record_hash);
    other bytea;
BEGIN
    IF place IS NULL OR final IS NULL OR place NOT BETWEEN 0 AND final THEN
        RETURN false;
    END IF;
    FOR other IN
        SELECT decode(step.hash, 'hex')
        FROM JSON_TABLE(proof, '$.path[*]' COLUMNS (
            place FOR ORDINALITY, hash text PATH '$')) AS step
        ORDER BY step.place
    LOOP
        IF final = 0 THEN
            RETURN false;
        END IF;
        IF place % 2 = 1 OR place = final THEN
            hash := sha256('\x01'::bytea || other || hash);
            -- A node without a partner went up as it was.
            WHILE place % 2 = 0 AND place > 0 LOOP
                place := place / 2;
                final := final / 2;
            END LOOP;
        ELSE
            hash := sha256('\x01'::bytea || hash || other);
        END IF;
        place := place / 2;
        final := final / 2;
    END LOOP;
    RETURN final = 0 AND hash = merkle_root;
END
$$;
COMMENT ON FUNCTION security_mgmt.verify_inclusion_proof(bytea, bytea, jsonb) IS
    'Does the proof lead from the record''s hash to the root? By RFC 9162, 2.1.3.2; take the root
     from the signed checkpoint, not from the proof.';


CREATE FUNCTION security_mgmt.verify_audit_chain(
    from_seq bigint DEFAULT 1, to_seq bigint DEFAULT NULL
) RETURNS TABLE (bad_seq bigint, kind text)
    LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    head   security_mgmt.audit_chain_head;
    first  bigint;
    final  CONSTANT bigint := coalesce(to_seq, 9223372036854775807);
BEGIN
    SELECT * INTO head FROM security_mgmt.audit_chain_head AS h WHERE h.business_id = tenant;
    IF head.business_id IS NULL THEN
        head.hash_algorithm := 'sha256';
        head.genesis_hash := security_mgmt.genesis_hash(tenant, 'sha256');
        head.last_hash := head.genesis_hash;
        head.last_seq := 0;
        head.purged_through_seq := 0;
    END IF;
    first := greatest(from_seq, head.purged_through_seq + 1, 1);

    RETURN QUERY
    WITH link AS MATERIALIZED (
        SELECT r.chain_seq, r.record_hash,
               r.record_hash = security_mgmt.audit_hash(
                   head.hash_algorithm,
                   r.previous_hash || security_mgmt.canonical_audit_bytes(
                       ROW(r.*)::security_mgmt.audit_record)) AS is_unaltered,
               r.previous_hash = lag(r.record_hash) OVER chain AS is_linked,
               r.previous_hash = head.genesis_hash AS is_genesis,
               r.recorded_at < lag(r.recorded_at) OVER chain AS is_earlier,
               lag(r.chain_seq) OVER chain AS previous_seq
        FROM security_mgmt.audit_record AS r
        -- With the record before, to which the first one is linked.
        WHERE r.business_id = tenant AND r.chain_seq BETWEEN first - 1 AND final
        WINDOW chain AS (ORDER BY r.chain_seq, r.recorded_at)
    ), span AS (
        SELECT c.from_seq, c.to_seq, c.record_count, c.merkle_root, c.previous_checkpoint_hash,
               lag(c.to_seq, 1, 0::bigint) OVER spans AS previous_to_seq,
               lag(security_mgmt.checkpoint_hash(ROW(c.*)::security_mgmt.audit_checkpoint))
                   OVER spans AS previous_hash
        FROM security_mgmt.audit_checkpoint AS c
        WHERE c.business_id = tenant
        WINDOW spans AS (ORDER BY c.from_seq)
    )
    SELECT found.seq, found.kind
    FROM (
        SELECT l.chain_seq, 'hash_mismatch'
        FROM link AS l
        WHERE l.chain_seq >= first
          AND NOT (l.is_unaltered
                   AND CASE WHEN l.chain_seq = 1 AND l.previous_seq IS NULL THEN l.is_genesis
                            WHEN l.previous_seq = l.chain_seq - 1 THEN l.is_linked
                            ELSE true END)
        UNION ALL
        SELECT coalesce(l.previous_seq, first - 1) + 1, 'missing_record'
        FROM link AS l
        WHERE l.chain_seq > coalesce(l.previous_seq, first - 1) + 1
        UNION ALL
        SELECT coalesce(max(l.chain_seq), first - 1) + 1, 'missing_record'
        FROM link AS l
        HAVING coalesce(max(l.chain_seq), first - 1) < least(final, head.last_seq)
        UNION ALL
        SELECT l.chain_seq, 'duplicate_seq'
        FROM link AS l WHERE l.chain_seq >= first AND l.chain_seq = l.previous_seq
        UNION ALL
        SELECT l.chain_seq, 'time_reversal'
        FROM link AS l WHERE l.chain_seq >= first AND l.is_earlier
        UNION ALL
        SELECT CASE WHEN n.chain_seq = h.last_seq THEN h.last_seq
                    ELSE greatest(least(coalesce(n.chain_seq, 0), h.last_seq) + 1, first) END,
               'head_mismatch'
        FROM (VALUES (head.last_seq, head.last_hash)) AS h (last_seq, last_hash)
        LEFT JOIN LATERAL (
            SELECT r.chain_seq, r.record_hash FROM security_mgmt.audit_record AS r
            WHERE r.business_id = tenant
            ORDER BY r.chain_seq DESC, r.recorded_at DESC LIMIT 1
        ) AS n ON true
        WHERE final >= h.last_seq
          AND (coalesce(n.chain_seq, head.purged_through_seq), coalesce(n.record_hash, h.last_hash))
              IS DISTINCT FROM (h.last_seq, h.last_hash)
        UNION ALL
        SELECT CASE WHEN coalesce(kept.last_seq, s.from_seq - 1) < s.to_seq
                    THEN coalesce(kept.last_seq, s.from_seq - 1) + 1
                    ELSE s.from_seq END,
               'checkpoint_mismatch'
        FROM span AS s
        CROSS JOIN LATERAL (
            SELECT max(r.chain_seq) AS last_seq, count(*) AS record_count,
                   array_agg(r.record_hash ORDER BY r.chain_seq, r.recorded_at) AS leaves
            FROM security_mgmt.audit_record AS r
            WHERE r.business_id = tenant AND r.chain_seq BETWEEN s.from_seq AND s.to_seq
        ) AS kept
        WHERE s.from_seq >= first AND s.to_seq <= final
          AND (kept.record_count <> s.record_count
               OR security_mgmt.merkle_root(kept.leaves) IS DISTINCT FROM s.merkle_root
               OR s.from_seq <> s.previous_to_seq + 1
               OR s.previous_checkpoint_hash IS DISTINCT FROM s.previous_hash)
    ) AS found (seq, kind)
    ORDER BY found.seq, found.kind;
END
$$;
COMMENT ON FUNCTION security_mgmt.verify_audit_chain(bigint, bigint) IS
    'Computes the hashes of the calling tenant''s records from one to another anew (by default all)
     and returns what is wrong, the first broken link first; nothing means intact. The whole is one
     snapshot, in which appending goes on meanwhile. hash_mismatch: altered, or not linked to the
     record before; missing_record: the first of a gap; duplicate_seq and time_reversal: inserted or
     reordered; checkpoint_mismatch: a span is not what its checkpoint says, though the chain may be
     whole; head_mismatch: the head is not the newest record.';


CREATE TABLE security_mgmt.audit_verification_run (
    business_id               uuid                     NOT NULL,
    audit_verification_run_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    audit_checkpoint_id       uuid,
    started_by                uuid,
    mode                      text                     NOT NULL,
    from_seq                  bigint                   NOT NULL,
    to_seq                    bigint                   NOT NULL,
    records_checked           bigint                   NOT NULL,
    mismatches_found          bigint                   NOT NULL DEFAULT 0,
    first_bad_seq             bigint,
    result                    text                     NOT NULL,
    duration_ms               system_core.milliseconds NOT NULL,
    code_version              text                     NOT NULL DEFAULT 'audit-record-1',
    started_at                timestamptz              NOT NULL,
    finished_at               timestamptz              NOT NULL,
    created_at                timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_verification_run_id),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, audit_checkpoint_id)
        REFERENCES security_mgmt.audit_checkpoint (business_id, audit_checkpoint_id),
    FOREIGN KEY (business_id, started_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT audit_verification_run_mode_known
        CHECK (mode IN ('incremental', 'full', 'sample', 'on_demand')),
    CONSTRAINT audit_verification_run_result_known
        CHECK (result IN ('intact', 'broken', 'incomplete', 'error')),
    CONSTRAINT audit_verification_run_ends_after_start CHECK (finished_at >= started_at),
    CONSTRAINT audit_verification_run_span_in_order
        CHECK (from_seq >= 1 AND to_seq >= from_seq - 1),
    CONSTRAINT audit_verification_run_counts_not_negative
        CHECK (records_checked >= 0 AND mismatches_found >= 0),
    CONSTRAINT audit_verification_run_broken_is_counted
        CHECK ((result = 'broken') = (mismatches_found > 0)),
    CONSTRAINT audit_verification_run_broken_has_place
        CHECK ((mismatches_found > 0) = (first_bad_seq IS NOT NULL)),
    CONSTRAINT audit_verification_run_place_in_span
        CHECK (first_bad_seq BETWEEN from_seq AND to_seq + 1)
);

COMMENT ON TABLE security_mgmt.audit_verification_run IS
    'A verification of a span of the chain with its result; append only. Written by
     record_verification().';
COMMENT ON COLUMN security_mgmt.audit_verification_run.to_seq IS
    'With the head at 0 there is nothing to check: to_seq is 0.';
COMMENT ON COLUMN security_mgmt.audit_verification_run.first_bad_seq IS
    'May be the one behind the span, where a tail is missing.';
COMMENT ON COLUMN security_mgmt.audit_verification_run.code_version IS
    'The canonical form that it computed.';

-- v_audit_chain_status: the newest verification.
CREATE INDEX audit_verification_run_newest_idx
    ON security_mgmt.audit_verification_run (business_id, started_at DESC);

-- FK: the runs that verified a checkpoint.
CREATE INDEX audit_verification_run_checkpoint_idx
    ON security_mgmt.audit_verification_run (business_id, audit_checkpoint_id)
    WHERE audit_checkpoint_id IS NOT NULL;

-- FK: the runs that somebody started.
CREATE INDEX audit_verification_run_started_by_idx
    ON security_mgmt.audit_verification_run (business_id, started_by)
    WHERE started_by IS NOT NULL;

ALTER TABLE security_mgmt.audit_verification_run
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_verification_run
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON security_mgmt.audit_verification_run TO app_user;
GRANT SELECT ON security_mgmt.audit_verification_run TO app_readonly;

CREATE TRIGGER audit_verification_run_append_only
    BEFORE UPDATE OR DELETE ON security_mgmt.audit_verification_run
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_verification_run');
