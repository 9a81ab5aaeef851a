/*
 * Activity: who did what and when, and everything that follows from it.
 *
 * entity_type registers the kinds of record that can be followed, tagged, commented, attached to
 * or searched. activity_event is one action on one record; activity_subscription a user following
 * a record; saved_view a list as somebody likes it; search_document what the search box finds.
 * outbox_event is written in the transaction of the change that it reports and read in order by
 * each event_consumer.
 */

CREATE TABLE system_core.entity_type (
    business_id             uuid        NOT NULL,
    entity_type_id          uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    schema_name             text        NOT NULL,
    table_name              text        NOT NULL,
    display_name            text        NOT NULL,
    plural_name             text        NOT NULL,
    label_template          text,
    is_taggable             boolean     NOT NULL DEFAULT true,
    is_commentable          boolean     NOT NULL DEFAULT true,
    is_attachable           boolean     NOT NULL DEFAULT true,
    is_searchable           boolean     NOT NULL DEFAULT true,
    is_activity_tracked     boolean     NOT NULL DEFAULT true,
    activity_retention_days integer     NOT NULL DEFAULT 730,
    created_at              timestamptz NOT NULL DEFAULT now(),
    updated_at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, entity_type_id),
    UNIQUE (business_id, schema_name, table_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT entity_type_retention_bounded CHECK (activity_retention_days BETWEEN 30 AND 3650)
);

COMMENT ON TABLE system_core.entity_type IS
    'A kind of record that can be followed, tagged, commented, attached to or searched.';
COMMENT ON COLUMN system_core.entity_type.label_template IS
    'How a record of the kind is called in a list, such as "{number} {customer}".';

ALTER TABLE system_core.entity_type ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.entity_type
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.entity_type TO app_user;
GRANT SELECT ON system_core.entity_type TO app_readonly;

CREATE TRIGGER entity_type_touch
    BEFORE UPDATE ON system_core.entity_type
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.require_registered_table() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID)
        AND to_regclass(format('%I.%I', NEW.schema_name, NEW.table_name)) IS NULL THEN
        RAISE EXCEPTION 'there is no table %.%', NEW.schema_name, NEW.table_name
            USING ERRCODE = 'undefined_table';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.require_registered_table() IS
    'A kind of record is the name of a table that exists.';

CREATE TRIGGER entity_type_table_exists
    BEFORE INSERT OR UPDATE OF schema_name, table_name ON system_core.entity_type
    FOR EACH ROW EXECUTE FUNCTION system_core.require_registered_table();


CREATE TABLE system_core.activity_event (
    business_id           uuid        NOT NULL,
    activity_event_id     uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    entity_type_id        uuid        NOT NULL,
    entity_id             uuid        NOT NULL,
    actor_user_account_id uuid,
    actor_kind            text        NOT NULL,
    action                text        NOT NULL,
    entity_label          text,
    changes               system_core.json_array,
    source                text        NOT NULL DEFAULT 'web',
    request_id            text,
    ip_address            inet,
    duration_us           bigint,
    is_sensitive          boolean     NOT NULL DEFAULT false,
    occurred_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, activity_event_id, occurred_at),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT activity_event_actor_kind_known
        CHECK (actor_kind IN ('user', 'api_key', 'job', 'integration', 'system')),
    CONSTRAINT activity_event_user_is_named
        CHECK (actor_kind <> 'user' OR actor_user_account_id IS NOT NULL),
    CONSTRAINT activity_event_action_known
        CHECK (action IN ('create', 'update', 'delete', 'view', 'export', 'print', 'share',
                          'approve', 'reject', 'status_change', 'payment')),
    CONSTRAINT activity_event_source_known
        CHECK (source IN ('web', 'mobile', 'api', 'pos', 'kiosk', 'import', 'job')),
    CONSTRAINT activity_event_duration_not_negative CHECK (duration_us >= 0)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE system_core.activity_event IS
    'One action of a user or of the system on one record, stamped to the microsecond.';
COMMENT ON COLUMN system_core.activity_event.occurred_at IS
    'clock_timestamp(), not now(): events of one transaction keep their order.';
COMMENT ON COLUMN system_core.activity_event.entity_id IS
    'The record, in the table that entity_type names; no foreign key can follow it there.';
COMMENT ON COLUMN system_core.activity_event.changes IS
    'Array of {column, old, new}; changed_columns() makes rows of it.';

-- Serves system_core.record_timeline, and FK entity_type_id.
CREATE INDEX activity_event_record_idx
    ON system_core.activity_event (business_id, entity_type_id, entity_id, occurred_at DESC);

-- FK actor_user_account_id: what somebody did lately.
CREATE INDEX activity_event_actor_idx
    ON system_core.activity_event (business_id, actor_user_account_id, occurred_at DESC)
    WHERE actor_user_account_id IS NOT NULL;

ALTER TABLE system_core.activity_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.activity_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON system_core.activity_event TO app_user;
GRANT SELECT ON system_core.activity_event TO app_readonly;

CREATE TABLE system_core.activity_event_default PARTITION OF system_core.activity_event DEFAULT;
ALTER TABLE system_core.activity_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.activity_event_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions(
    'system_core.activity_event', 'month', behind => 13, ahead => 3);

CREATE TRIGGER activity_event_append_only
    BEFORE UPDATE OR DELETE ON system_core.activity_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('system_core.activity_event');

CREATE FUNCTION system_core.sign_activity() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    NEW.actor_user_account_id := coalesce(
        NEW.actor_user_account_id, nullif(current_setting('app.user_account_id', true), '')::uuid);
    NEW.ip_address := coalesce(
        NEW.ip_address, nullif(current_setting('app.client_ip', true), '')::inet);
    NEW.request_id := coalesce(
        NEW.request_id, nullif(current_setting('app.request_id', true), ''));
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.sign_activity() IS
    'Takes actor, address and request from the settings of the session where the row has none.';

CREATE TRIGGER activity_event_sign
    BEFORE INSERT ON system_core.activity_event
    FOR EACH ROW
    WHEN (NEW.actor_user_account_id IS NULL OR NEW.ip_address IS NULL OR NEW.request_id IS NULL)
    EXECUTE FUNCTION system_core.sign_activity();


CREATE TABLE system_core.activity_subscription (
    business_id              uuid        NOT NULL,
    activity_subscription_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    entity_type_id           uuid        NOT NULL,
    user_account_id          uuid        NOT NULL,
    entity_id                uuid        NOT NULL,
    follow_level             text        NOT NULL DEFAULT 'all',
    reason                   text        NOT NULL DEFAULT 'manual',
    notify_in_app            boolean     NOT NULL DEFAULT true,
    notify_email             boolean     NOT NULL DEFAULT false,
    last_seen_at             timestamptz,
    muted_until              timestamptz,
    created_at               timestamptz NOT NULL DEFAULT now(),
    updated_at               timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, activity_subscription_id),
    UNIQUE (business_id, user_account_id, entity_type_id, entity_id),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT activity_subscription_follow_level_known
        CHECK (follow_level IN ('all', 'status_only', 'mentions', 'muted')),
    CONSTRAINT activity_subscription_reason_known
        CHECK (reason IN ('created', 'assigned', 'commented', 'mentioned', 'manual')),
    CONSTRAINT activity_subscription_only_muted_has_end
        CHECK (muted_until IS NULL OR follow_level = 'muted')
);

COMMENT ON TABLE system_core.activity_subscription IS
    'A user who follows a record, and how loudly they want to be told.';

-- FK entity_type_id: the followers of a record.
CREATE INDEX activity_subscription_record_idx
    ON system_core.activity_subscription (business_id, entity_type_id, entity_id);

ALTER TABLE system_core.activity_subscription ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.activity_subscription
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.activity_subscription TO app_user;
GRANT SELECT ON system_core.activity_subscription TO app_readonly;

CREATE TRIGGER activity_subscription_touch
    BEFORE UPDATE ON system_core.activity_subscription
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.saved_view (
    business_id           uuid        NOT NULL,
    saved_view_id         uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    entity_type_id        uuid        NOT NULL,
    owner_user_account_id uuid        NOT NULL,
    name                  text        NOT NULL,
    visibility            text        NOT NULL DEFAULT 'private',
    filter_definition     system_core.json_object NOT NULL DEFAULT '{}',
    sort_definition       system_core.json_array  NOT NULL DEFAULT '[]',
    column_layout         system_core.json_array  NOT NULL DEFAULT '[]',
    is_default            boolean     NOT NULL DEFAULT false,
    use_count             integer     NOT NULL DEFAULT 0,
    last_used_at          timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    updated_at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, saved_view_id),
    UNIQUE (business_id, owner_user_account_id, entity_type_id, name),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT saved_view_visibility_known CHECK (visibility IN ('private', 'team', 'business')),
    CONSTRAINT saved_view_use_count_not_negative CHECK (use_count >= 0)
);

COMMENT ON TABLE system_core.saved_view IS
    'A named filter, sort order and column layout of a list, of one user or of the business.';
COMMENT ON COLUMN system_core.saved_view.filter_definition IS
    'Tree of conditions that the API turns into a WHERE clause.';

-- One default per owner and kind; also finds it.
CREATE UNIQUE INDEX saved_view_default_idx
    ON system_core.saved_view (business_id, owner_user_account_id, entity_type_id)
    WHERE is_default;

-- FK entity_type_id: the views offered on a list.
CREATE INDEX saved_view_entity_type_idx
    ON system_core.saved_view (business_id, entity_type_id, visibility);

ALTER TABLE system_core.saved_view ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.saved_view
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.saved_view TO app_user;
GRANT SELECT ON system_core.saved_view TO app_readonly;

CREATE TRIGGER saved_view_touch
    BEFORE UPDATE ON system_core.saved_view
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.search_document (
    business_id        uuid        NOT NULL,
    search_document_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    entity_type_id     uuid        NOT NULL,
    entity_id          uuid        NOT NULL,
    title              text        NOT NULL,
    subtitle           text,
    body_excerpt       text,
    search_vector      tsvector    NOT NULL GENERATED ALWAYS AS (
        setweight(to_tsvector('simple', title), 'A')
        || setweight(to_tsvector('simple', coalesce(subtitle, '')), 'B')
        || setweight(to_tsvector('simple', coalesce(body_excerpt, '')), 'C')) STORED,
    language_code      system_core.locale NOT NULL DEFAULT 'en',
    rank_boost         numeric(9, 4) NOT NULL DEFAULT 1,
    url_path           text,
    is_archived        boolean     NOT NULL DEFAULT false,
    source_updated_at  timestamptz NOT NULL DEFAULT now(),
    indexed_at         timestamptz NOT NULL DEFAULT now(),
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, search_document_id),
    UNIQUE (business_id, entity_type_id, entity_id),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    CONSTRAINT search_document_indexed_after_change CHECK (indexed_at >= source_updated_at),
    CONSTRAINT search_document_rank_boost_bounded CHECK (rank_boost BETWEEN 0.1 AND 10)
);

COMMENT ON TABLE system_core.search_document IS
    'What the search box finds of a record: one row of text per searchable record.';
COMMENT ON COLUMN system_core.search_document.rank_boost IS
    'Lifts kinds that people mostly mean, such as customers, over those they seldom do.';

ALTER TABLE system_core.search_document ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.search_document
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.search_document TO app_user;
GRANT SELECT ON system_core.search_document TO app_readonly;

CREATE TRIGGER search_document_touch
    BEFORE UPDATE ON system_core.search_document
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER search_document_words
    AFTER INSERT OR UPDATE OF title, subtitle, body_excerpt OR DELETE
    ON system_core.search_document
    FOR EACH ROW EXECUTE FUNCTION system_core.keep_search_words(
        'system_core.search_document', 'search_document_id', 'title', 'subtitle', 'body_excerpt');


CREATE TABLE system_core.outbox_event (
    business_id      uuid        NOT NULL,
    outbox_event_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    sequence_no      bigint      NOT NULL,
    topic            text        NOT NULL,
    event_type       text        NOT NULL,
    aggregate_schema text        NOT NULL,
    aggregate_table  text        NOT NULL,
    aggregate_id     uuid        NOT NULL,
    payload          system_core.json_object NOT NULL,
    headers          system_core.json_object NOT NULL DEFAULT '{}',
    trace_id         text,
    schema_version   integer     NOT NULL DEFAULT 1,
    occurred_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, outbox_event_id, occurred_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT outbox_event_sequence_positive CHECK (sequence_no >= 1),
    CONSTRAINT outbox_event_schema_version_positive CHECK (schema_version >= 1)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE system_core.outbox_event IS
    'A domain event, written in the transaction of the change and read by consumers in order.';
COMMENT ON COLUMN system_core.outbox_event.sequence_no IS
    'Rises by one per business. A trigger gives it, whatever the application says; imported
     history brings its own.';
COMMENT ON COLUMN system_core.outbox_event.trace_id IS 'W3C trace context of the request.';

-- Readers go on behind their position; the writer finds the last number.
CREATE INDEX outbox_event_sequence_idx
    ON system_core.outbox_event (business_id, sequence_no);

ALTER TABLE system_core.outbox_event ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.outbox_event
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON system_core.outbox_event TO app_user;
GRANT SELECT ON system_core.outbox_event TO app_readonly;

CREATE TABLE system_core.outbox_event_default PARTITION OF system_core.outbox_event DEFAULT;
ALTER TABLE system_core.outbox_event_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.outbox_event_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions('system_core.outbox_event', 'month', behind => 13, ahead => 3);

CREATE TRIGGER outbox_event_append_only
    BEFORE UPDATE OR DELETE ON system_core.outbox_event
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('system_core.outbox_event');

CREATE FUNCTION system_core.number_outbox_event() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sequence_no IS NOT NULL AND NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    -- A snapshot older than the lock would not see the number that was taken before it.
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'events are numbered in READ COMMITTED transactions only'
            USING ERRCODE = 'feature_not_supported';
    END IF;
    -- One writer of the tenant at a time until it commits: no gap, and no number that becomes
    -- visible after a higher one was read.
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.business_id::text, 0));
    -- The positions of consumers outlive the partitions that they have read.
    SELECT greatest(0, max(o.sequence_no),
                    (SELECT max(c.last_sequence_no) FROM system_core.event_consumer AS c
                     WHERE c.business_id = NEW.business_id)) + 1
    INTO NEW.sequence_no
    FROM system_core.outbox_event AS o
    WHERE o.business_id = NEW.business_id;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.number_outbox_event() IS
    'Gives an event of the application the tenant''s next number.';

CREATE TRIGGER outbox_event_number
    BEFORE INSERT ON system_core.outbox_event
    FOR EACH ROW EXECUTE FUNCTION system_core.number_outbox_event();


CREATE TABLE system_core.event_consumer (
    business_id             uuid             NOT NULL,
    event_consumer_id       uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    consumer_name           system_core.code NOT NULL,
    topic_filter            text             NOT NULL DEFAULT '*',
    delivery_mode           text             NOT NULL,
    last_sequence_no        bigint           NOT NULL DEFAULT 0,
    last_event_at           timestamptz,
    lag_seconds             integer          NOT NULL DEFAULT 0,
    max_retries             integer          NOT NULL DEFAULT 5,
    consecutive_error_count integer          NOT NULL DEFAULT 0,
    last_error              text,
    is_paused               boolean          NOT NULL DEFAULT false,
    created_at              timestamptz      NOT NULL DEFAULT now(),
    updated_at              timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, event_consumer_id),
    UNIQUE (business_id, consumer_name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT event_consumer_delivery_mode_known
        CHECK (delivery_mode IN ('poll', 'listen_notify', 'webhook', 'cdc')),
    CONSTRAINT event_consumer_retries_bounded CHECK (max_retries BETWEEN 0 AND 25),
    CONSTRAINT event_consumer_position_not_negative CHECK (last_sequence_no >= 0),
    CONSTRAINT event_consumer_counts_not_negative
        CHECK (consecutive_error_count >= 0 AND lag_seconds >= 0)
);

COMMENT ON TABLE system_core.event_consumer IS
    'A named reader of the outbox: how far it has come, and what went wrong.';

ALTER TABLE system_core.event_consumer ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.event_consumer
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.event_consumer TO app_user;
GRANT SELECT ON system_core.event_consumer TO app_readonly;

CREATE TRIGGER event_consumer_touch
    BEFORE UPDATE ON system_core.event_consumer
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE FUNCTION system_core.refuse_consumer_rewind() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'consumer % has read up to %, it does not go back to %',
        NEW.consumer_name, OLD.last_sequence_no, NEW.last_sequence_no
        USING ERRCODE = 'check_violation', HINT = 'Register a new consumer to read again.';
END
$$;
COMMENT ON FUNCTION system_core.refuse_consumer_rewind() IS
    'A consumer that went back would handle events twice.';

CREATE TRIGGER event_consumer_forward
    BEFORE UPDATE OF last_sequence_no ON system_core.event_consumer
    FOR EACH ROW WHEN (NEW.last_sequence_no < OLD.last_sequence_no)
    EXECUTE FUNCTION system_core.refuse_consumer_rewind();


CREATE FUNCTION system_core.record_activity(
    entity_schema text,
    entity_table  text,
    entity_id     uuid,
    action        text,
    changes       jsonb DEFAULT NULL,
    source        text DEFAULT 'web'
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    actor  CONSTANT uuid := nullif(current_setting('app.user_account_id', true), '')::uuid;
    kind    uuid;
    tracked boolean;
    event   uuid;
BEGIN
    SELECT e.entity_type_id, e.is_activity_tracked INTO kind, tracked
    FROM system_core.entity_type AS e
    WHERE e.business_id = tenant AND e.schema_name = entity_schema
        AND e.table_name = entity_table;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%.% is no registered kind of record', entity_schema, entity_table
            USING ERRCODE = 'no_data_found', HINT = 'Register it in system_core.entity_type.';
    END IF;
    IF NOT tracked THEN
        RETURN NULL;
    END IF;
    INSERT INTO system_core.activity_event
        (business_id, entity_type_id, entity_id, actor_user_account_id, actor_kind, action,
         changes, source)
    VALUES (tenant, kind, record_activity.entity_id, actor,
            CASE WHEN actor IS NULL THEN 'system' ELSE 'user' END,
            record_activity.action, record_activity.changes, record_activity.source)
    RETURNING activity_event_id INTO event;

    INSERT INTO system_core.outbox_event
        (business_id, topic, event_type, aggregate_schema, aggregate_table, aggregate_id,
         payload)
    VALUES (tenant, 'activity', entity_table || '.' || record_activity.action, entity_schema,
            entity_table, record_activity.entity_id,
            jsonb_build_object('activity_event_id', event,
                               'changes', coalesce(record_activity.changes, '[]')));
    RETURN event;
END
$$;
COMMENT ON FUNCTION system_core.record_activity(text, text, uuid, text, jsonb, text) IS
    'Writes down what the tenant''s user did to a record, and raises the event that reports it; NULL
     where the business does not track that kind of record.';


CREATE FUNCTION system_core.changed_columns(changes jsonb)
    RETURNS TABLE (column_name text, old_value text, new_value text)
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT c.column_name,
           CASE WHEN c.column_name ~ '(password|secret|token|hash)' THEN '***' ELSE c.old_value END,
           CASE WHEN c.column_name ~ '(password|secret|token|hash)' THEN '***' ELSE c.new_value END
    FROM JSON_TABLE(changed_columns.changes, '$[*]' COLUMNS (
        column_name text PATH '$.column',
        old_value   text PATH '$.old',
        new_value   text PATH '$.new')) AS c;
END;
COMMENT ON FUNCTION system_core.changed_columns(jsonb) IS
    'The change document of an event as rows, what is secret masked.';


CREATE FUNCTION system_core.search_business(query text, kinds text[] DEFAULT NULL,
                                            max integer DEFAULT 20)
    RETURNS TABLE (entity_kind text, entity_id uuid, title text, headline text, rank real)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT k.table_name, d.entity_id, d.title,
           ts_headline('simple', coalesce(d.body_excerpt, d.title),
                       websearch_to_tsquery('simple', search_business.query)),
           (ts_rank(d.search_vector, websearch_to_tsquery('simple', search_business.query))
            * d.rank_boost)::real AS rank
    FROM (
        -- Every word that is asked for but not as "none of these": the index finds them.
        SELECT w.entity_id
        FROM system_core.search_word AS w
        WHERE w.business_id = tenant_mgmt.current_business_id()
            AND w.found_in = 'system_core.search_document'
            AND w.word = ANY (system_core.words_of(search_business.query))
        GROUP BY w.entity_id
    ) AS f
    JOIN system_core.search_document AS d
        ON d.business_id = tenant_mgmt.current_business_id()
        AND d.search_document_id = f.entity_id
    JOIN system_core.entity_type AS k
        ON k.business_id = d.business_id AND k.entity_type_id = d.entity_type_id
    WHERE d.business_id = tenant_mgmt.current_business_id()
        AND k.business_id = tenant_mgmt.current_business_id()
        AND d.search_vector @@ websearch_to_tsquery('simple', search_business.query)
        AND NOT d.is_archived
        AND (search_business.kinds IS NULL OR k.table_name = ANY (search_business.kinds))
    ORDER BY rank DESC, d.source_updated_at DESC
    LIMIT search_business.max;
END;
COMMENT ON FUNCTION system_core.search_business(text, text[], integer) IS
    'Ranked full-text search over the tenant''s records, with the found words marked.';


CREATE VIEW system_core.v_outbox_lag
    WITH (security_invoker = true) AS
SELECT c.business_id, c.consumer_name, c.is_paused, c.last_sequence_no,
       count(o.outbox_event_id) AS unread_count,
       now() - min(o.occurred_at) AS oldest_unread_age
FROM system_core.event_consumer AS c
LEFT JOIN system_core.outbox_event AS o
    ON o.business_id = c.business_id AND o.sequence_no > c.last_sequence_no
    AND (c.topic_filter = '*' OR o.topic = c.topic_filter)
WHERE c.business_id = tenant_mgmt.current_business_id()
GROUP BY c.business_id, c.consumer_name, c.is_paused, c.last_sequence_no;
COMMENT ON VIEW system_core.v_outbox_lag IS
    'Events that each consumer has not read yet, and how old the oldest is.';
GRANT SELECT ON system_core.v_outbox_lag TO app_user, app_readonly;


CREATE MATERIALIZED VIEW system_core.mv_activity_daily AS
SELECT a.business_id, (a.occurred_at AT TIME ZONE 'UTC')::date AS occurred_on,
       a.entity_type_id, a.source, a.actor_kind, a.action,
       count(*) AS event_count,
       count(DISTINCT a.actor_user_account_id) AS actor_count
FROM system_core.activity_event AS a
GROUP BY a.business_id, occurred_on, a.entity_type_id, a.source, a.actor_kind, a.action
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW system_core.mv_activity_daily IS
    'Actions per day (UTC), kind of record, source and actor: feeds adoption charts.';

-- Lets it be refreshed concurrently.
CREATE UNIQUE INDEX mv_activity_daily_idx
    ON system_core.mv_activity_daily
        (business_id, occurred_on, entity_type_id, source, actor_kind, action);

GRANT USAGE ON SCHEMA system_core TO matview_owner;
GRANT SELECT ON system_core.activity_event TO matview_owner;

CREATE VIEW system_core.v_activity_daily
    WITH (security_barrier = true) AS
SELECT m.business_id, m.occurred_on, m.entity_type_id, m.source, m.actor_kind, m.action,
       m.event_count, m.actor_count
FROM system_core.mv_activity_daily AS m
WHERE m.business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW system_core.v_activity_daily IS 'The tenant''s own part of mv_activity_daily.';
GRANT SELECT ON system_core.v_activity_daily TO app_user, app_readonly;
