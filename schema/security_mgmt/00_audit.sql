/*
 * The audit trail: one hash chain per tenant, and the proof that nobody mended it.
 *
 * audit_policy says which tables, actions and columns are audited. append_audit() is the only
 * writer of audit_record: under the lock of the tenant's audit_chain_head it takes the time, the
 * next number and SHA-256 over the hash before and the canonical form of the record, so that a
 * record cannot be altered, removed, added or moved without breaking every hash behind it. UPDATE,
 * DELETE and TRUNCATE are refused for everybody whom triggers bind, the owner too. What somebody
 * whom they do not bind could still do, with all hashes computed anew, an audit_checkpoint catches:
 * the Merkle root over a span of the chain, signed and kept elsewhere. verify_audit_chain() names
 * the first broken link; audit_verification_run keeps what it found.
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
    audited_actions         text[]      NOT NULL
        DEFAULT '{insert,update,delete}',
    masked_columns          text[]      NOT NULL DEFAULT '{}',
    captures_reads          boolean     NOT NULL
        GENERATED ALWAYS AS ('select' = ANY (audited_actions)) STORED,
    regulation              text        NOT NULL DEFAULT 'internal',
    retention_years         integer     NOT NULL DEFAULT 7,
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
        CHECK (is_enabled OR (approved_by IS NOT NULL AND coalesce(change_reason, '') ~ '\S'))
);

COMMENT ON TABLE security_mgmt.audit_policy IS
    'Which actions on a table are audited, what is masked in the record, and how long it is kept.';
COMMENT ON COLUMN security_mgmt.audit_policy.masked_columns IS
    'Stored as keyed hashes: equal values stay recognizable, the values are not there.';
COMMENT ON COLUMN security_mgmt.audit_policy.minimum_retention_years IS
    'What the regulation asks for, as the tenant''s counsel stated it.';

-- FK: the policies that an account approved.
CREATE INDEX audit_policy_approver_idx
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


CREATE TABLE security_mgmt.audit_chain_head (
    business_id         uuid        NOT NULL,
    audit_chain_head_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    hash_algorithm      text        NOT NULL DEFAULT 'sha256',
    genesis_hash        bytea       NOT NULL,
    last_seq            bigint      NOT NULL DEFAULT 0,
    last_hash           bytea       NOT NULL,
    record_count        bigint      NOT NULL DEFAULT 0,
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
    CONSTRAINT audit_chain_head_hashes_fit CHECK (
        length(last_hash) = CASE hash_algorithm WHEN 'sha256' THEN 32 ELSE 64 END
        AND length(genesis_hash) = length(last_hash)),
    CONSTRAINT audit_chain_head_is_dense CHECK (last_seq = record_count AND last_seq >= 0),
    CONSTRAINT audit_chain_head_empty_is_genesis
        CHECK (last_seq > 0 OR last_hash = genesis_hash)
);

COMMENT ON TABLE security_mgmt.audit_chain_head IS
    'Number and hash of the tenant''s last audit record: the row whose lock makes one chain.';
COMMENT ON COLUMN security_mgmt.audit_chain_head.genesis_hash IS
    'What the first record is chained to; also keys the hashes of masked columns.';
COMMENT ON COLUMN security_mgmt.audit_chain_head.is_sealed IS
    'Nothing is appended any more: the tenant was closed and its trail handed over.';

ALTER TABLE security_mgmt.audit_chain_head ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_chain_head
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT ON security_mgmt.audit_chain_head TO app_user, app_readonly;

CREATE FUNCTION security_mgmt.guard_chain_head() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        RAISE EXCEPTION 'the head of an audit chain is not deleted'
            USING ERRCODE = 'restrict_violation', HINT = 'Seal the chain instead.';
    END IF;
    -- Two: the trigger of audit_record that moves the head, and this one.
    IF (OLD.last_seq, OLD.last_hash, OLD.record_count, OLD.genesis_hash, OLD.hash_algorithm)
       IS DISTINCT FROM
       (NEW.last_seq, NEW.last_hash, NEW.record_count, NEW.genesis_hash, NEW.hash_algorithm)
       AND (pg_trigger_depth() < 2 OR NEW.last_seq <= OLD.last_seq
            OR NEW.genesis_hash <> OLD.genesis_hash OR NEW.hash_algorithm <> OLD.hash_algorithm)
    THEN
        RAISE EXCEPTION 'the head of an audit chain moves forward, and only by a record'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Append a record with security_mgmt.append_audit().';
    END IF;
    IF OLD.is_sealed AND NOT NEW.is_sealed THEN
        RAISE EXCEPTION 'a sealed audit chain stays sealed' USING ERRCODE = 'restrict_violation';
    END IF;
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.guard_chain_head() IS
    'The head moves forward only, by the trigger of audit_record; a sealed chain stays sealed.';

CREATE TRIGGER audit_chain_head_guard
    BEFORE UPDATE OR DELETE ON security_mgmt.audit_chain_head
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.guard_chain_head();

CREATE TRIGGER audit_chain_head_no_truncate
    BEFORE TRUNCATE ON security_mgmt.audit_chain_head
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_chain_head');


CREATE TABLE security_mgmt.audit_record (
    business_id           uuid        NOT NULL,
    audit_record_id       uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    audit_policy_id       uuid,
    actor_user_account_id uuid,
    chain_seq             bigint      NOT NULL,
    actor_kind            text        NOT NULL,
    action                text        NOT NULL,
    schema_name           text        NOT NULL,
    table_name            text        NOT NULL,
    entity_id             uuid,
    old_row               jsonb,
    new_row               jsonb,
    reason                text,
    client_ip             inet,
    session_key           uuid,
    transaction_id        bigint      NOT NULL,
    previous_hash         bytea       NOT NULL,
    record_hash           bytea       NOT NULL,
    recorded_at           timestamptz NOT NULL,
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_record_id, recorded_at),
    UNIQUE (business_id, chain_seq, recorded_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, audit_policy_id)
        REFERENCES security_mgmt.audit_policy (business_id, audit_policy_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT audit_record_actor_kind_known
        CHECK (actor_kind IN ('user', 'service', 'system', 'support')),
    CONSTRAINT audit_record_action_known
        CHECK (action IN ('insert', 'update', 'delete', 'select', 'login', 'export', 'grant',
                          'revoke', 'config_change', 'approve')),
    CONSTRAINT audit_record_user_is_named
        CHECK (actor_kind <> 'user' OR actor_user_account_id IS NOT NULL),
    CONSTRAINT audit_record_seq_positive CHECK (chain_seq > 0),
    CONSTRAINT audit_record_hashes_fit
        CHECK (length(record_hash) IN (32, 64) AND length(previous_hash) = length(record_hash))
) PARTITION BY RANGE (recorded_at);

COMMENT ON TABLE security_mgmt.audit_record IS
    'Who did what to which row, before and after, chained to the record before it; immutable.';
COMMENT ON COLUMN security_mgmt.audit_record.chain_seq IS
    'Dense from 1 within the tenant: a gap is a record that was removed.';
COMMENT ON COLUMN security_mgmt.audit_record.recorded_at IS
    'Taken after the head was locked, so that it never precedes that of the record before.';
COMMENT ON COLUMN security_mgmt.audit_record.record_hash IS
    'Of previous_hash and the canonical form of this record, see canonical_audit_bytes().';
COMMENT ON COLUMN security_mgmt.audit_record.transaction_id IS
    'pg_current_xact_id() of the change: what was done together.';

-- Who changed this row: its newest records.
CREATE INDEX audit_record_entity_idx
    ON security_mgmt.audit_record (business_id, schema_name, table_name, entity_id,
                                   recorded_at DESC);

-- FK: what a user did, the newest first.
CREATE INDEX audit_record_actor_idx
    ON security_mgmt.audit_record (business_id, actor_user_account_id, recorded_at DESC)
    WHERE actor_user_account_id IS NOT NULL;

-- FK: the records of a policy.
CREATE INDEX audit_record_policy_idx
    ON security_mgmt.audit_record (business_id, audit_policy_id)
    WHERE audit_policy_id IS NOT NULL;

ALTER TABLE security_mgmt.audit_record ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_record
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT ON security_mgmt.audit_record TO app_user, app_readonly;

CREATE FUNCTION security_mgmt.audit_field(value bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN coalesce(int4send(length(value)) || value, '\xffffffff'::bytea);
COMMENT ON FUNCTION security_mgmt.audit_field(bytea) IS
    'A field of the canonical form: its length in four bytes and the value; -1 alone is NULL.
     Lengths keep ("ab", "c") apart from ("a", "bc").';

CREATE FUNCTION security_mgmt.canonical_audit_bytes(r security_mgmt.audit_record) RETURNS bytea
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN security_mgmt.audit_field(uuid_send(r.business_id))
        || security_mgmt.audit_field(int8send(r.chain_seq))
        || security_mgmt.audit_field(
               int8send((extract(epoch FROM r.recorded_at) * 1000000)::bigint))
        || security_mgmt.audit_field(uuid_send(r.audit_record_id))
        || security_mgmt.audit_field(uuid_send(r.audit_policy_id))
        || security_mgmt.audit_field(uuid_send(r.actor_user_account_id))
        || security_mgmt.audit_field(convert_to(r.actor_kind, 'UTF8'))
        || security_mgmt.audit_field(convert_to(r.action, 'UTF8'))
        || security_mgmt.audit_field(convert_to(r.schema_name, 'UTF8'))
        || security_mgmt.audit_field(convert_to(r.table_name, 'UTF8'))
        || security_mgmt.audit_field(uuid_send(r.entity_id))
        || security_mgmt.audit_field(convert_to(r.old_row::text, 'UTF8'))
        || security_mgmt.audit_field(convert_to(r.new_row::text, 'UTF8'))
        || security_mgmt.audit_field(convert_to(r.reason, 'UTF8'))
        || security_mgmt.audit_field(convert_to(text(r.client_ip), 'UTF8'))
        || security_mgmt.audit_field(uuid_send(r.session_key))
        || security_mgmt.audit_field(int8send(r.transaction_id));
COMMENT ON FUNCTION security_mgmt.canonical_audit_bytes(security_mgmt.audit_record) IS
    'The bytes that a record''s hash is taken over: every column that says something, in this
     order, each with its length. No setting of a session changes them: moments are microseconds
     since 1970, jsonb has one text of its own.';

CREATE FUNCTION security_mgmt.audit_digest(algorithm text, content bytea) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN CASE algorithm WHEN 'sha512' THEN sha512(content) ELSE sha256(content) END;
COMMENT ON FUNCTION security_mgmt.audit_digest(text, bytea) IS
    'The hash that a chain is made with.';

CREATE FUNCTION security_mgmt.open_audit_chain(of_business uuid) RETURNS void
    LANGUAGE sql
BEGIN ATOMIC
    INSERT INTO security_mgmt.audit_chain_head (business_id, genesis_hash, last_hash)
    SELECT of_business, g.hash, g.hash
    FROM (SELECT sha256(uuid_send(of_business) || uuid_send(gen_random_uuid()))) AS g (hash)
    ON CONFLICT (business_id) DO NOTHING;
END;
COMMENT ON FUNCTION security_mgmt.open_audit_chain(uuid) IS
    'The head of a chain of a business that has none; its genesis nobody can guess.';
REVOKE EXECUTE ON FUNCTION security_mgmt.open_audit_chain(uuid) FROM PUBLIC;

-- A statement that inserts keeps the tips of the chains it extends in a setting that lasts no
-- longer than the statement: moving the head once per record would leave a dead row for each.
CREATE FUNCTION security_mgmt.begin_audit_append() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('security_mgmt.chain_tips', '{}', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.begin_audit_append() IS
    'Begins a statement that appends: no tip is known yet.';

CREATE FUNCTION security_mgmt.chain_audit_record() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tips   jsonb := nullif(current_setting('security_mgmt.chain_tips', true), '')::jsonb;
    tip    jsonb;
    head   security_mgmt.audit_chain_head;
    tenant CONSTANT text := NEW.business_id::text;
    digest bytea;
BEGIN
    IF tips IS NULL THEN
        RAISE EXCEPTION 'a record is appended to security_mgmt.audit_record, not to a partition'
            USING ERRCODE = 'restrict_violation';
    END IF;
    tip := tips -> tenant;
    IF tip IS NULL THEN
        PERFORM security_mgmt.open_audit_chain(NEW.business_id);
        SELECT * INTO head
        FROM security_mgmt.audit_chain_head AS h
        WHERE h.business_id = NEW.business_id
        FOR UPDATE;
        IF head.is_sealed THEN
            RAISE EXCEPTION 'the audit chain is sealed' USING ERRCODE = 'restrict_violation';
        END IF;
        tip := jsonb_build_object(
            'seq', head.last_seq, 'hash', encode(head.last_hash, 'hex'),
            'at', (extract(epoch FROM coalesce(head.last_appended_at, '-infinity')) * 1000000),
            'algorithm', head.hash_algorithm);
    END IF;

    NEW.chain_seq := coalesce(NEW.chain_seq, (tip ->> 'seq')::bigint + 1);
    NEW.previous_hash := coalesce(NEW.previous_hash, decode(tip ->> 'hash', 'hex'));
    NEW.transaction_id := coalesce(NEW.transaction_id, pg_current_xact_id()::text::bigint);
    digest := security_mgmt.audit_digest(
        tip ->> 'algorithm', NEW.previous_hash || security_mgmt.canonical_audit_bytes(NEW));
    NEW.record_hash := coalesce(NEW.record_hash, digest);
    IF NEW.chain_seq <> (tip ->> 'seq')::bigint + 1
       OR NEW.previous_hash <> decode(tip ->> 'hash', 'hex')
       OR NEW.record_hash <> digest
       OR extract(epoch FROM NEW.recorded_at) * 1000000 < (tip ->> 'at')::numeric THEN
        RAISE EXCEPTION 'record % does not continue the chain, which is at %', NEW.chain_seq,
                        tip ->> 'seq'
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Let security_mgmt.append_audit() write it.';
    END IF;
    PERFORM set_config('security_mgmt.chain_tips', jsonb_set(tips, ARRAY[tenant],
        jsonb_build_object('seq', NEW.chain_seq, 'hash', encode(NEW.record_hash, 'hex'),
                           'at', extract(epoch FROM NEW.recorded_at) * 1000000,
                           'algorithm', tip ->> 'algorithm'))::text, true);
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.chain_audit_record() IS
    'Chains a record to the one before it, under the lock of the head, and refuses one that does
     not continue the chain: in its number, its hash or its time.';

CREATE FUNCTION security_mgmt.move_chain_heads() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE security_mgmt.audit_chain_head AS h
    SET last_seq = t.seq, record_count = t.seq, last_hash = decode(t.hash, 'hex'),
        last_appended_at = to_timestamp(0) + t.at * interval '1 microsecond'
    FROM jsonb_each(nullif(current_setting('security_mgmt.chain_tips', true), '')::jsonb)
        AS e (tenant, tip)
    CROSS JOIN LATERAL jsonb_to_record(e.tip) AS t (seq bigint, hash text, at numeric)
    WHERE h.business_id = e.tenant::uuid;
    PERFORM set_config('security_mgmt.chain_tips', '', true);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.move_chain_heads() IS
    'Ends a statement that appended: the heads move to the tips.';

CREATE TRIGGER audit_record_append_begin
    BEFORE INSERT ON security_mgmt.audit_record
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.begin_audit_append();

CREATE TRIGGER audit_record_chain
    BEFORE INSERT ON security_mgmt.audit_record
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.chain_audit_record();

CREATE TRIGGER audit_record_append_end
    AFTER INSERT ON security_mgmt.audit_record
    FOR EACH STATEMENT EXECUTE FUNCTION security_mgmt.move_chain_heads();

CREATE TRIGGER audit_record_append_only
    BEFORE UPDATE OR DELETE ON security_mgmt.audit_record
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_record');

CREATE TRIGGER audit_record_no_truncate
    BEFORE TRUNCATE ON security_mgmt.audit_record
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_record');

CREATE TABLE security_mgmt.audit_record_default PARTITION OF security_mgmt.audit_record DEFAULT;
ALTER TABLE security_mgmt.audit_record_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_record_default
    USING (business_id = tenant_mgmt.current_business_id());
CREATE TRIGGER audit_record_no_truncate
    BEFORE TRUNCATE ON security_mgmt.audit_record_default
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_record');

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


CREATE FUNCTION security_mgmt.mask_audit_row(image jsonb, masked text[], key bytea) RETURNS jsonb
    LANGUAGE sql STABLE PARALLEL SAFE
    RETURN CASE WHEN image IS NULL OR masked = '{}' THEN image ELSE (
        SELECT jsonb_object_agg(f.name, CASE
                   WHEN f.name = ANY (masked) AND jsonb_typeof(f.value) <> 'null'
                   THEN to_jsonb('masked:' || encode(security_mgmt.hmac_sha256(
                            convert_to(f.name || '=' || f.value::text, 'UTF8'), key), 'hex'))
                   ELSE f.value END)
        FROM jsonb_each(image) AS f (name, value)) END;
COMMENT ON FUNCTION security_mgmt.mask_audit_row(jsonb, text[], bytea) IS
    'A row image whose masked columns hold a keyed hash of the value.';


CREATE FUNCTION security_mgmt.append_audit(
    action      text,
    schema_name text,
    table_name  text,
    entity_id   uuid  DEFAULT NULL,
    old_row     jsonb DEFAULT NULL,
    new_row     jsonb DEFAULT NULL,
    reason      text  DEFAULT NULL
) RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    actor  CONSTANT uuid := nullif(current_setting('app.user_account_id', true), '')::uuid;
    policy security_mgmt.audit_policy;
    masked text[];
    key    bytea;
    seq    bigint;
BEGIN
    SELECT p.* INTO policy
    FROM security_mgmt.audit_policy AS p
    WHERE p.business_id = tenant AND p.schema_name = append_audit.schema_name
      AND p.table_name = append_audit.table_name;
    IF FOUND AND NOT (policy.is_enabled AND action = ANY (policy.audited_actions)) THEN
        RETURN NULL;
    END IF;
    masked := coalesce(policy.masked_columns, '{}');

    -- The lock first, the time after it: of two that append at once one waits here.
    PERFORM security_mgmt.open_audit_chain(tenant);
    SELECT h.genesis_hash INTO key
    FROM security_mgmt.audit_chain_head AS h
    WHERE h.business_id = tenant
    FOR UPDATE;
    INSERT INTO security_mgmt.audit_record AS r (
        business_id, audit_policy_id, actor_user_account_id, actor_kind, action, schema_name,
        table_name, entity_id, old_row, new_row, reason, client_ip, session_key, recorded_at)
    VALUES (
        tenant, policy.audit_policy_id, actor,
        CASE WHEN actor IS NULL THEN 'system' ELSE 'user' END, action, schema_name, table_name,
        entity_id, security_mgmt.mask_audit_row(old_row, masked, key),
        security_mgmt.mask_audit_row(new_row, masked, key), reason,
        nullif(current_setting('app.client_ip', true), '')::inet,
        nullif(current_setting('app.session_id', true), '')::uuid, clock_timestamp())
    RETURNING r.chain_seq INTO seq;
    RETURN seq;
END
$$;
COMMENT ON FUNCTION security_mgmt.append_audit(text, text, text, uuid, jsonb, jsonb, text) IS
    'The only writer of the audit trail: appends a record to the chain of the current tenant and
     returns its number; NULL where the tenant''s policy does not audit the action. The actor comes
     from app.user_account_id, app.client_ip and app.session_id. SECURITY DEFINER, because no
     application role may insert by itself.';
REVOKE EXECUTE ON FUNCTION
    security_mgmt.append_audit(text, text, text, uuid, jsonb, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    security_mgmt.append_audit(text, text, text, uuid, jsonb, jsonb, text) TO app_user;

CREATE FUNCTION security_mgmt.audit_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    before CONSTANT jsonb := CASE WHEN TG_OP <> 'INSERT' THEN to_jsonb(OLD) END;
    after  CONSTANT jsonb := CASE WHEN TG_OP <> 'DELETE' THEN to_jsonb(NEW) END;
BEGIN
    PERFORM security_mgmt.append_audit(
        lower(TG_OP), TG_ARGV[0], TG_ARGV[1],
        (coalesce(after, before) ->> (TG_ARGV[1] || '_id'))::uuid, before, after);
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION security_mgmt.audit_change() IS
    'Audits each change of a table: AFTER INSERT OR UPDATE OR DELETE, FOR EACH ROW, with the names
     of schema and table as arguments.';

-- Who weakens the audit is in the audit.
CREATE TRIGGER audit_policy_audited
    AFTER UPDATE OR DELETE ON security_mgmt.audit_policy
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


CREATE TABLE security_mgmt.audit_checkpoint (
    business_id              uuid               NOT NULL,
    audit_checkpoint_id      uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    from_seq                 bigint             NOT NULL,
    to_seq                   bigint             NOT NULL,
    record_count             bigint             NOT NULL
        GENERATED ALWAYS AS (to_seq - from_seq + 1) STORED,
    merkle_root              system_core.sha256 NOT NULL,
    previous_checkpoint_hash system_core.sha256,
    signature                bytea,
    signing_key_ref          system_core.vault_ref,
    anchored_to              text,
    anchor_reference         text,
    created_on               date               NOT NULL DEFAULT current_date,
    anchored_at              timestamptz,
    created_at               timestamptz        NOT NULL DEFAULT now(),
    updated_at               timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, audit_checkpoint_id),
    UNIQUE (business_id, from_seq),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT audit_checkpoint_spans_something CHECK (from_seq > 0 AND to_seq >= from_seq),
    CONSTRAINT audit_checkpoint_anchor_known
        CHECK (anchored_to IN ('object_lock_bucket', 'timestamp_authority', 'transparency_log',
                               'printed')),
    CONSTRAINT audit_checkpoint_anchored_somewhere
        CHECK (num_nulls(anchored_to, anchor_reference, anchored_at) IN (0, 3)),
    CONSTRAINT audit_checkpoint_signed_by_a_key
        CHECK ((signature IS NULL) = (signing_key_ref IS NULL)),
    CONSTRAINT audit_checkpoint_anchored_is_signed
        CHECK (anchored_at IS NULL OR signature IS NOT NULL)
);

COMMENT ON TABLE security_mgmt.audit_checkpoint IS
    'The Merkle root over a span of the chain: signed once, and anchored once where the database
     cannot reach; nothing else of it changes.';
COMMENT ON COLUMN security_mgmt.audit_checkpoint.merkle_root IS
    'RFC 6962: leaves are the hashes of the records, inner nodes and leaves have prefixes.';
COMMENT ON COLUMN security_mgmt.audit_checkpoint.previous_checkpoint_hash IS
    'Of the checkpoint before: checkpoints are a chain too.';

ALTER TABLE security_mgmt.audit_checkpoint ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON security_mgmt.audit_checkpoint
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE ON security_mgmt.audit_checkpoint TO app_user;
GRANT SELECT ON security_mgmt.audit_checkpoint TO app_readonly;

CREATE TRIGGER audit_checkpoint_touch
    BEFORE UPDATE ON security_mgmt.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER audit_checkpoint_not_deleted
    BEFORE DELETE ON security_mgmt.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_checkpoint');

CREATE TRIGGER audit_checkpoint_no_truncate
    BEFORE TRUNCATE ON security_mgmt.audit_checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_change('security_mgmt.audit_checkpoint');

CREATE FUNCTION security_mgmt.keep_checkpoint() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    later CONSTANT text[] := ARRAY['signature', 'signing_key_ref', 'anchored_to',
                                   'anchor_reference', 'anchored_at', 'updated_at',
                                   'record_count'];  -- generated after this trigger
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

CREATE FUNCTION security_mgmt.merkle_root(leaves bytea[]) RETURNS bytea
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    level bytea[] := ARRAY(
        SELECT sha256('\x00'::bytea || l.leaf)
        FROM unnest(leaves) WITH ORDINALITY AS l (leaf, place) ORDER BY l.place);
BEGIN
    WHILE cardinality(level) > 1 LOOP
        level := ARRAY(
            SELECT CASE WHEN level[2 * n] IS NULL THEN level[2 * n - 1]
                        ELSE sha256('\x01'::bytea || level[2 * n - 1] || level[2 * n]) END
            FROM generate_series(1, (cardinality(level) + 1) / 2) AS s (n) ORDER BY s.n);
    END LOOP;
    RETURN coalesce(level[1], sha256(''));
END
$$;
COMMENT ON FUNCTION security_mgmt.merkle_root(bytea[]) IS
    'Merkle tree hash of RFC 6962, section 2.1. A node without a sibling moves up as it is, which
     makes the same tree as splitting at the largest power of two.';

CREATE FUNCTION security_mgmt.span_root(of_business uuid, first_seq bigint, last_seq bigint)
    RETURNS bytea
    LANGUAGE sql STABLE
    RETURN (
        SELECT CASE WHEN count(*) = last_seq - first_seq + 1
                    THEN security_mgmt.merkle_root(array_agg(r.record_hash ORDER BY r.chain_seq))
               END
        FROM security_mgmt.audit_record AS r
        WHERE r.business_id = of_business AND r.chain_seq BETWEEN first_seq AND last_seq);
COMMENT ON FUNCTION security_mgmt.span_root(uuid, bigint, bigint) IS
    'The Merkle root over a span of a chain as it is now; NULL where the span is not whole.';

CREATE FUNCTION security_mgmt.checkpoint_hash(c security_mgmt.audit_checkpoint) RETURNS bytea
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sha256(security_mgmt.audit_field(uuid_send(c.business_id))
                  || security_mgmt.audit_field(int8send(c.from_seq))
                  || security_mgmt.audit_field(int8send(c.to_seq))
                  || security_mgmt.audit_field(c.merkle_root::bytea)
                  || security_mgmt.audit_field(c.previous_checkpoint_hash::bytea));
COMMENT ON FUNCTION security_mgmt.checkpoint_hash(security_mgmt.audit_checkpoint) IS
    'What is signed of a checkpoint, and what the next one holds of it.';

CREATE FUNCTION security_mgmt.require_contiguous_checkpoint() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    before security_mgmt.audit_checkpoint;
    root   CONSTANT bytea := security_mgmt.span_root(NEW.business_id, NEW.from_seq, NEW.to_seq);
BEGIN
    SELECT * INTO before
    FROM security_mgmt.audit_checkpoint AS c
    WHERE c.business_id = NEW.business_id
    ORDER BY c.from_seq DESC
    LIMIT 1;
    IF NEW.from_seq <> coalesce(before.to_seq, 0) + 1 THEN
        RAISE EXCEPTION 'a checkpoint from % does not follow the one before it', NEW.from_seq
            USING ERRCODE = 'check_violation',
                  HINT = format('The next one begins at %s.', coalesce(before.to_seq, 0) + 1);
    END IF;
    IF root IS NULL OR root <> coalesce(NEW.merkle_root::bytea, root) THEN
        RAISE EXCEPTION 'records % to % are not what the checkpoint says', NEW.from_seq, NEW.to_seq
            USING ERRCODE = 'check_violation',
                  HINT = 'Let build_audit_checkpoint() make it, after verify_audit_chain().';
    END IF;
    NEW.merkle_root := root;
    NEW.previous_checkpoint_hash :=
        CASE WHEN before.from_seq IS NOT NULL THEN security_mgmt.checkpoint_hash(before) END;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION security_mgmt.require_contiguous_checkpoint() IS
    'A checkpoint continues the one before it and has the root of the records as they are.';

CREATE TRIGGER audit_checkpoint_contiguous
    BEFORE INSERT ON security_mgmt.audit_checkpoint
    FOR EACH ROW EXECUTE FUNCTION security_mgmt.require_contiguous_checkpoint();

CREATE FUNCTION security_mgmt.build_audit_checkpoint(up_to bigint DEFAULT NULL) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    first  bigint;
    last   bigint := up_to;
    made   uuid;
BEGIN
    SELECT coalesce(max(c.to_seq), 0) + 1 INTO first
    FROM security_mgmt.audit_checkpoint AS c
    WHERE c.business_id = tenant;
    IF last IS NULL THEN
        SELECT h.last_seq INTO last
        FROM security_mgmt.audit_chain_head AS h
        WHERE h.business_id = tenant;
    END IF;
    IF last IS NULL OR last < first THEN
        RETURN NULL;
    END IF;
    INSERT INTO security_mgmt.audit_checkpoint (business_id, from_seq, to_seq)
    VALUES (tenant, first, last)
    RETURNING audit_checkpoint_id INTO made;
    RETURN made;
END
$$;
COMMENT ON FUNCTION security_mgmt.build_audit_checkpoint(bigint) IS
    'A checkpoint of the tenant over what was appended since the last one, ready to be signed and
     anchored; NULL where nothing was. Refuses a span that is not whole.';


CREATE FUNCTION security_mgmt.audit_inclusion_proof(of_seq bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    mark   security_mgmt.audit_checkpoint;
    level  bytea[];
    place  integer;
    path   jsonb := '[]';
    leaf   bytea;
BEGIN
    SELECT * INTO mark
    FROM security_mgmt.audit_checkpoint AS c
    WHERE c.business_id = tenant AND of_seq BETWEEN c.from_seq AND c.to_seq;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(sha256('\x00'::bytea || r.record_hash) ORDER BY r.chain_seq),
           max(CASE WHEN r.chain_seq = of_seq THEN encode(r.record_hash, 'hex') END)::bytea
    INTO level, leaf
    FROM security_mgmt.audit_record AS r
    WHERE r.business_id = tenant AND r.chain_seq BETWEEN mark.from_seq AND mark.to_seq;
    place := of_seq - mark.from_seq + 1;
    WHILE cardinality(level) > 1 LOOP
        -- The sibling, unless the node has none and moves up as it is.
        IF place % 2 = 0 THEN
            path := path || jsonb_build_object('side', 'left',
                                               'hash', encode(level[place - 1], 'hex'));
        ELSIF place < cardinality(level) THEN
            path := path || jsonb_build_object('side', 'right',
                                               'hash', encode(level[place + 1], 'hex'));
        END IF;
        level := ARRAY(
            SELECT CASE WHEN level[2 * n] IS NULL THEN level[2 * n - 1]
                        ELSE sha256('\x01'::bytea || level[2 * n - 1] || level[2 * n]) END
            FROM generate_series(1, (cardinality(level) + 1) / 2) AS s (n) ORDER BY s.n);
        place := (place + 1) / 2;
    END LOOP;
    RETURN jsonb_build_object(
        'chain_seq', of_seq, 'record_hash', convert_from(leaf, 'UTF8'),
        'from_seq', mark.from_seq, 'to_seq', mark.to_seq,
        'merkle_root', encode(mark.merkle_root, 'hex'), 'path', path);
END
$$;
COMMENT ON FUNCTION security_mgmt.audit_inclusion_proof(bigint) IS
    'The hashes that lead from a record of the tenant to the root of its checkpoint: whoever has
     the record and the signed root can see that it belongs to it. NULL before the checkpoint.';

CREATE FUNCTION security_mgmt.verify_inclusion(proof jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    step record;
    node bytea := sha256('\x00'::bytea || decode(proof ->> 'record_hash', 'hex'));
BEGIN
    FOR step IN
        SELECT s.side, decode(s.hash, 'hex') AS hash
        FROM JSON_TABLE(proof, '$.path[*]' COLUMNS (
            place FOR ORDINALITY, side text PATH '$.side', hash text PATH '$.hash')) AS s
        ORDER BY s.place
    LOOP
        node := CASE step.side WHEN 'left' THEN sha256('\x01'::bytea || step.hash || node)
                               ELSE sha256('\x01'::bytea || node || step.hash) END;
    END LOOP;
    RETURN node = decode(proof ->> 'merkle_root', 'hex');
END
$$;
COMMENT ON FUNCTION security_mgmt.verify_inclusion(jsonb) IS
    'Whether a proof leads from its record to its root; needs no access to the chain.';


CREATE FUNCTION security_mgmt.verify_audit_chain(
    first_seq bigint DEFAULT 1,
    last_seq  bigint DEFAULT NULL
) RETURNS TABLE (bad_seq bigint, kind text)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH head AS (
        SELECT h.*, coalesce(verify_audit_chain.last_seq, h.last_seq) AS until_seq
        FROM security_mgmt.audit_chain_head AS h
        WHERE h.business_id = tenant_mgmt.current_business_id()
    ), link AS (
        -- One record before the window is its anchor; the genesis is that of the first record.
        SELECT r.chain_seq, r.recorded_at, r.record_hash, r.previous_hash,
               security_mgmt.audit_digest(
                   h.hash_algorithm, r.previous_hash || security_mgmt.canonical_audit_bytes(r))
                   AS digest,
               lag(r.chain_seq) OVER chain   AS before_seq,
               lag(r.recorded_at) OVER chain AS before_at,
               CASE WHEN r.chain_seq = 1 THEN h.genesis_hash
                    ELSE lag(r.record_hash) OVER chain END AS before_hash
        FROM head AS h
        JOIN security_mgmt.audit_record AS r ON r.business_id = h.business_id
        WHERE r.business_id = tenant_mgmt.current_business_id()
          AND r.chain_seq >= first_seq - 1 AND r.chain_seq <= h.until_seq
        WINDOW chain AS (ORDER BY r.chain_seq, r.recorded_at)
    ), broken AS (
        SELECT l.chain_seq AS bad_seq, 'hash_mismatch' AS kind
        FROM link AS l
        WHERE l.record_hash <> l.digest OR l.previous_hash <> l.before_hash
        UNION ALL
        SELECT l.before_seq + 1, 'missing_record'
        FROM link AS l
        WHERE l.chain_seq > l.before_seq + 1
        UNION ALL
        SELECT l.chain_seq, 'duplicate_seq' FROM link AS l WHERE l.chain_seq = l.before_seq
        UNION ALL
        SELECT l.chain_seq, 'time_reversal' FROM link AS l WHERE l.recorded_at < l.before_at
        UNION ALL
        -- The first of the window, and everything behind the last that is there.
        SELECT greatest(first_seq - 1, 1), 'missing_record'
        FROM head AS h
        WHERE h.until_seq >= first_seq
          AND NOT EXISTS (SELECT FROM link AS l WHERE l.chain_seq <= greatest(first_seq - 1, 1))
        UNION ALL
        SELECT s.last_seq + 1, 'missing_record'
        FROM head AS h
        CROSS JOIN (SELECT max(l.chain_seq) AS last_seq FROM link AS l) AS s
        WHERE s.last_seq < least(h.until_seq, h.last_seq)
        UNION ALL
        SELECT h.last_seq, 'head_mismatch'
        FROM head AS h
        WHERE h.until_seq >= h.last_seq AND h.last_seq > 0
          AND NOT EXISTS (SELECT FROM link AS l
                          WHERE l.chain_seq = h.last_seq AND l.record_hash = h.last_hash)
        UNION ALL
        SELECT r.chain_seq, 'head_mismatch'
        FROM head AS h
        JOIN security_mgmt.audit_record AS r
            ON r.business_id = h.business_id AND r.chain_seq > h.last_seq
        WHERE verify_audit_chain.last_seq IS NULL
          AND r.business_id = tenant_mgmt.current_business_id()
        UNION ALL
        SELECT c.from_seq, 'checkpoint_mismatch'
        FROM head AS h
        JOIN security_mgmt.audit_checkpoint AS c ON c.business_id = h.business_id
        WHERE c.business_id = tenant_mgmt.current_business_id()
          AND c.from_seq >= first_seq
          AND (verify_audit_chain.last_seq IS NULL OR c.to_seq <= verify_audit_chain.last_seq)
          AND c.merkle_root IS DISTINCT FROM security_mgmt.span_root(
                  c.business_id, c.from_seq, c.to_seq)
    )
    SELECT DISTINCT b.bad_seq, b.kind
    FROM broken AS b
    ORDER BY b.bad_seq, b.kind;
END;
COMMENT ON FUNCTION security_mgmt.verify_audit_chain(bigint, bigint) IS
    'Recomputes a part of the tenant''s chain in one pass and tells every broken link, the first
     one first; no row is an intact chain. hash_mismatch: a record is not what it was, or does not
     follow the one before. missing_record, duplicate_seq, time_reversal: one was removed, added,
     moved. head_mismatch, checkpoint_mismatch: the chain is whole but is another one.';


CREATE TABLE security_mgmt.audit_verification_run (
    business_id               uuid                     NOT NULL,
    audit_verification_run_id uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    audit_checkpoint_id       uuid,
    started_by                uuid,
    mode                      text                     NOT NULL DEFAULT 'incremental',
    from_seq                  bigint                   NOT NULL,
    to_seq                    bigint                   NOT NULL,
    records_checked           bigint                   NOT NULL DEFAULT 0,
    mismatches_found          bigint                   NOT NULL DEFAULT 0,
    first_bad_seq             bigint,
    result                    text                     NOT NULL,
    duration_ms               system_core.milliseconds,
    code_version              text,
    started_at                timestamptz              NOT NULL DEFAULT now(),
    finished_at               timestamptz,
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
    CONSTRAINT audit_verification_run_span_in_order CHECK (from_seq > 0 AND to_seq >= from_seq - 1),
    CONSTRAINT audit_verification_run_counts_not_negative
        CHECK (records_checked >= 0 AND mismatches_found >= 0),
    CONSTRAINT audit_verification_run_broken_has_mismatches
        CHECK ((result = 'broken') = (mismatches_found > 0)),
    CONSTRAINT audit_verification_run_broken_names_the_link
        CHECK ((mismatches_found > 0) = (first_bad_seq IS NOT NULL)),
    CONSTRAINT audit_verification_run_finished_after_start CHECK (finished_at >= started_at)
);

COMMENT ON TABLE security_mgmt.audit_verification_run IS
    'A recomputation of a part of the chain, and what it found; append only.';
COMMENT ON COLUMN security_mgmt.audit_verification_run.first_bad_seq IS
    'The first broken link: what stands before it is proven.';

-- The last verification, for v_audit_chain_status.
CREATE INDEX audit_verification_run_started_idx
    ON security_mgmt.audit_verification_run (business_id, started_at DESC);

-- FK: the verifications of a checkpoint.
CREATE INDEX audit_verification_run_checkpoint_idx
    ON security_mgmt.audit_verification_run (business_id, audit_checkpoint_id)
    WHERE audit_checkpoint_id IS NOT NULL;

-- FK: what an account started.
CREATE INDEX audit_verification_run_starter_idx
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


CREATE FUNCTION security_mgmt.verify_audit(
    how       text   DEFAULT 'full',
    first_seq bigint DEFAULT 1,
    last_seq  bigint DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid        := tenant_mgmt.current_business_id();
    begun  CONSTANT timestamptz := clock_timestamp();
    until  CONSTANT bigint      := coalesce(last_seq, (
        SELECT h.last_seq FROM security_mgmt.audit_chain_head AS h
        WHERE h.business_id = tenant), 0);
    broken jsonb;
    run    uuid;
BEGIN
    SELECT coalesce(jsonb_agg(jsonb_build_object('bad_seq', v.bad_seq, 'kind', v.kind)
                              ORDER BY v.bad_seq), '[]')
    INTO broken
    FROM security_mgmt.verify_audit_chain(first_seq, last_seq) AS v;
    INSERT INTO security_mgmt.audit_verification_run (
        business_id, started_by, mode, from_seq, to_seq, records_checked, mismatches_found,
        first_bad_seq, result, duration_ms, started_at, finished_at)
    VALUES (
        tenant, nullif(current_setting('app.user_account_id', true), '')::uuid, how, first_seq,
        greatest(until, first_seq - 1), greatest(until - first_seq + 1, 0),
        jsonb_array_length(broken), (broken #>> '{0,bad_seq}')::bigint,
        CASE WHEN broken = '[]' THEN 'intact' ELSE 'broken' END,
        1000 * extract(epoch FROM clock_timestamp() - begun), begun, clock_timestamp())
    RETURNING audit_verification_run_id INTO run;
    INSERT INTO security_mgmt.audit_tamper_finding (
        business_id, audit_verification_run_id, kind, bad_seq, severity, detected_at)
    SELECT tenant, run, b.kind, greatest(b.bad_seq, 1), 'critical', now()
    FROM JSON_TABLE(broken, '$[*]' COLUMNS (bad_seq bigint, kind text)) AS b
    WHERE NOT EXISTS (
        SELECT FROM security_mgmt.audit_tamper_finding AS f
        WHERE f.business_id = tenant AND f.kind = b.kind AND f.bad_seq = greatest(b.bad_seq, 1)
          AND f.status <> 'closed');
    RETURN run;
END
$$;
COMMENT ON FUNCTION security_mgmt.verify_audit(text, bigint, bigint) IS
    'Verifies a part of the tenant''s chain and keeps what it found: the run, and a finding for
     each broken link that is not under investigation yet (25_audit_assurance.sql).';
