/*
 * Functions that tables of every schema lean on: keys, state machines, append-only tables,
 * partitions.
 */

CREATE FUNCTION system_core.time_ordered_uuid(milliseconds bigint, noise uuid) RETURNS uuid
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN encode(
        set_bit(set_bit(overlay(
            uuid_send(noise)
            PLACING substring(int8send(milliseconds) FROM 3)
            FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid;
COMMENT ON FUNCTION system_core.time_ordered_uuid(bigint, uuid) IS
    'A UUID of version 7 (RFC 9562) of the milliseconds and of one of version 4.';


CREATE FUNCTION system_core.next_seeded_uuid() RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    number bigint;
    hash   bytea;
BEGIN
    IF row_security_active('tenant_mgmt.business') THEN
        RETURN system_core.time_ordered_uuid(
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint, gen_random_uuid());
    END IF;
    number := set_config('harness.keys', (current_setting('harness.keys')::bigint + 1)::text,
                         true);
    hash := decode(md5(current_setting('harness.key_seed') || ' ' || number), 'hex');
    hash := set_byte(set_byte(hash, 6, get_byte(hash, 6) & 15 | 64), 8,
                     get_byte(hash, 8) & 63 | 128);
    RETURN system_core.time_ordered_uuid(
        (extract(epoch FROM current_setting('harness.moment')::timestamptz) * 1000)::bigint
        + number, encode(hash, 'hex')::uuid);
END
$$;
COMMENT ON FUNCTION system_core.next_seeded_uuid() IS
    'The next key of a session that loads data and named a seed for its keys, so that loading again
     makes the same ones. Who is bound by row security gets a random key all the same.';


CREATE FUNCTION system_core.uuid_v7() RETURNS uuid
    LANGUAGE sql VOLATILE PARALLEL RESTRICTED
    RETURN CASE
        WHEN coalesce(current_setting('harness.key_seed', true), '') = ''
        THEN system_core.time_ordered_uuid(
            (extract(epoch FROM clock_timestamp()) * 1000)::bigint, gen_random_uuid())
        ELSE system_core.next_seeded_uuid() END;
COMMENT ON FUNCTION system_core.uuid_v7() IS
    'A key whose first 48 bits are milliseconds (RFC 9562), so that new rows land together.';


CREATE FUNCTION system_core.touch() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.touch() IS 'Keeps updated_at true on tables that are edited.';


CREATE FUNCTION system_core.enforce_state_machine() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    machine   CONSTANT jsonb := TG_ARGV[1];
    new_state CONSTANT text  := to_jsonb(NEW) ->> TG_ARGV[0];
    old_state text;
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF NOT machine -> 'initial' ? new_state AND row_security_active(TG_RELID) THEN
            RAISE EXCEPTION '%: a new row cannot start as %', TG_ARGV[0], new_state
                USING ERRCODE = 'check_violation',
                      HINT = format('It starts as one of %s.', machine -> 'initial');
        END IF;
        RETURN NEW;
    END IF;
    old_state := to_jsonb(OLD) ->> TG_ARGV[0];
    IF old_state <> new_state AND NOT machine -> 'transitions' -> old_state ? new_state THEN
        RAISE EXCEPTION '%: % cannot become %', TG_ARGV[0], old_state, new_state
            USING ERRCODE = 'check_violation',
                  HINT = format('From %s it goes to one of %s.',
                                old_state, machine -> 'transitions' -> old_state);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.enforce_state_machine() IS
    'Refuses every transition that is not in its second argument, {"initial": [state],
     "transitions": {state: [next state]}}; the first argument is the column. A role that
     bypasses row security imports history and may insert any known state.';


CREATE FUNCTION system_core.refuse_change() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append only: % refused', TG_ARGV[0], lower(TG_OP)
        USING ERRCODE = 'restrict_violation',
              HINT = 'Write a correcting row instead.';
END
$$;
COMMENT ON FUNCTION system_core.refuse_change() IS
    'Makes a table append only, for its owner too; the argument is the table''s name.';


CREATE FUNCTION system_core.create_partitions(
    parent        regclass,
    interval_kind text,
    behind        integer,
    ahead         integer
) RETURNS integer
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC' AS $$
DECLARE
    step     CONSTANT interval := CASE interval_kind
        WHEN 'quarter' THEN interval '3 months' ELSE ('1 ' || interval_kind)::interval END;
    nearest  CONSTANT timestamptz := date_trunc(interval_kind, now(), 'UTC');
    parent_schema    text;
    parent_name      text;
    lower_bound      timestamptz;
    child            text;
    truncate_trigger text;
    created          integer := 0;
BEGIN
    SELECT n.nspname, c.relname INTO parent_schema, parent_name
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = parent;

    FOR ordinal IN -behind .. ahead LOOP
        lower_bound := nearest + ordinal * step;
        child := parent_name || to_char(lower_bound AT TIME ZONE 'UTC', '"_p"YYYYMMDD');
        CONTINUE WHEN to_regclass(format('%I.%I', parent_schema, child)) IS NOT NULL;
        EXECUTE format('CREATE TABLE %I.%I PARTITION OF %s FOR VALUES FROM (%L) TO (%L)',
                       parent_schema, child, parent, lower_bound, lower_bound + step);
        EXECUTE format('ALTER TABLE %I.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY',
                       parent_schema, child);
        EXECUTE format('CREATE POLICY tenant_isolation ON %I.%I'
                       ' USING (business_id = tenant_mgmt.current_business_id())',
                       parent_schema, child);
        -- Unlike row triggers, a trigger on TRUNCATE is not inherited (bit 32 of its type).
        FOR truncate_trigger IN
            SELECT replace(pg_get_triggerdef(t.oid), ' ON ' || parent,
                           ' ON ' || format('%I.%I', parent_schema, child))
            FROM pg_trigger AS t
            WHERE t.tgrelid = parent AND t.tgtype & 32 <> 0
        LOOP
            EXECUTE truncate_trigger;
        END LOOP;
        created := created + 1;
    END LOOP;
    RETURN created;
END
$$;
COMMENT ON FUNCTION system_core.create_partitions(regclass, text, integer, integer) IS
    'Makes the missing partitions (day, week, month, quarter) around today, each with forced
     row security, the tenant policy and the parent''s triggers on TRUNCATE, and without grants;
     returns how many it made.';
REVOKE EXECUTE ON FUNCTION system_core.create_partitions(regclass, text, integer, integer)
    FROM PUBLIC;
