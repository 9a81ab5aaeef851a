/*
 * Collaboration: tags, comments, mentions, reactions and the tenant's own fields, on any record.
 *
 * All of them point at a record by (entity_type_id, entity_id): the kind of record, which says
 * whether it may be tagged or commented, and its key, which no foreign key can follow.
 * A tag belongs to a tag_group, which may allow one tag per record only. Comments form threads
 * of at most seven levels; comment_mention ties a person named in one to the notification that
 * told them. A custom_field_definition adds a field to a kind of record, custom_field_value
 * holds its value for one record, as JSON and in a typed column that lists filter by.
 */


CREATE FUNCTION system_core.refuse_move() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'restrict_violation';
END
$$;
COMMENT ON FUNCTION system_core.refuse_move() IS
    'For a row that cannot be given to another record, tag or group; the argument says so.';


CREATE TABLE system_core.tag_group (
    business_id         uuid                  NOT NULL,
    tag_group_id        uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    name                text                  NOT NULL,
    code                system_core.code      NOT NULL,
    color_hex           system_core.color_hex NOT NULL,
    is_exclusive        boolean               NOT NULL DEFAULT false,
    is_required         boolean               NOT NULL DEFAULT false,
    applies_to          text[]                NOT NULL DEFAULT '{}',
    max_tags_per_record integer,
    sort_order          integer               NOT NULL DEFAULT 0,
    is_system           boolean               NOT NULL DEFAULT false,
    created_at          timestamptz           NOT NULL DEFAULT now(),
    updated_at          timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tag_group_id),
    UNIQUE (business_id, code),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT tag_group_limit_positive CHECK (max_tags_per_record >= 1),
    CONSTRAINT tag_group_exclusive_allows_one
        CHECK (NOT is_exclusive
               OR max_tags_per_record IS NOT NULL AND max_tags_per_record = 1)
);

COMMENT ON TABLE system_core.tag_group IS
    'A family of tags, such as lead source or skill, with its rules.';
COMMENT ON COLUMN system_core.tag_group.is_exclusive IS
    'A record carries one tag of the group at most, at any time.';
COMMENT ON COLUMN system_core.tag_group.is_required IS
    'Forms insist on a tag of the group; the database cannot, for the record comes first.';
COMMENT ON COLUMN system_core.tag_group.applies_to IS
    'Kinds of record it is offered for, as entity_type names schema.table; empty: for all.';
COMMENT ON COLUMN system_core.tag_group.max_tags_per_record IS
    'How many a user may put on one record; NULL: as many as they like.';

ALTER TABLE system_core.tag_group ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.tag_group
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.tag_group TO app_user;
GRANT SELECT ON system_core.tag_group TO app_readonly;

CREATE FUNCTION system_core.check_tag_group_kinds() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    unknown text;
BEGIN
    IF row_security_active(TG_RELID) THEN
        SELECT a.kind INTO unknown
        FROM unnest(NEW.applies_to) AS a (kind)
        WHERE NOT EXISTS (SELECT FROM system_core.entity_type AS e
                          WHERE e.business_id = NEW.business_id
                              AND e.schema_name || '.' || e.table_name = a.kind)
        LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'tag group %: % is not a registered kind of record', NEW.code, unknown
                USING ERRCODE = 'check_violation',
                      HINT = 'Name schema.table as system_core.entity_type knows it.';
        END IF;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.check_tag_group_kinds() IS
    'applies_to lists kinds of record that exist.';

CREATE FUNCTION system_core.check_tag_group_exclusive() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    record_id uuid;
BEGIN
    SELECT a.entity_id INTO record_id
    FROM system_core.tag AS t
    JOIN system_core.tag_assignment AS a
        ON a.business_id = t.business_id AND a.tag_id = t.tag_id
    WHERE t.business_id = NEW.business_id AND t.tag_group_id = NEW.tag_group_id
        AND (a.expires_at IS NULL OR a.expires_at > now())
    GROUP BY a.entity_type_id, a.entity_id
    HAVING count(*) > 1
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tag group % cannot become exclusive: record % carries several of its tags',
                        NEW.code, record_id
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.check_tag_group_exclusive() IS
    'A group becomes exclusive only when no record carries two of its tags.';

CREATE TRIGGER tag_group_touch
    BEFORE UPDATE ON system_core.tag_group
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tag_group_kinds
    BEFORE INSERT OR UPDATE OF applies_to ON system_core.tag_group
    FOR EACH ROW WHEN (NEW.applies_to <> '{}')
    EXECUTE FUNCTION system_core.check_tag_group_kinds();

CREATE TRIGGER tag_group_becomes_exclusive
    BEFORE UPDATE OF is_exclusive ON system_core.tag_group
    FOR EACH ROW WHEN (NEW.is_exclusive AND NOT OLD.is_exclusive)
    EXECUTE FUNCTION system_core.check_tag_group_exclusive();


CREATE TABLE system_core.tag (
    business_id                uuid             NOT NULL,
    tag_id                     uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    tag_group_id               uuid             NOT NULL,
    created_by_user_account_id uuid,
    name                       text             NOT NULL,
    slug                       system_core.slug NOT NULL,
    color_hex                  system_core.color_hex,
    description                text,
    usage_count                integer          NOT NULL DEFAULT 0,
    is_archived                boolean          NOT NULL DEFAULT false,
    merged_into_slug           system_core.slug,
    last_used_at               timestamptz,
    created_at                 timestamptz      NOT NULL DEFAULT now(),
    updated_at                 timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tag_id),
    UNIQUE (business_id, tag_group_id, slug),
    FOREIGN KEY (business_id, tag_group_id)
        REFERENCES system_core.tag_group (business_id, tag_group_id),
    FOREIGN KEY (business_id, created_by_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT tag_usage_not_negative CHECK (usage_count >= 0),
    CONSTRAINT tag_merged_is_archived CHECK (merged_into_slug IS NULL OR is_archived),
    CONSTRAINT tag_merged_into_another CHECK (merged_into_slug <> slug)
);

COMMENT ON TABLE system_core.tag IS 'A label that users put on records.';
COMMENT ON COLUMN system_core.tag.color_hex IS 'NULL: the color of its group.';
COMMENT ON COLUMN system_core.tag.usage_count IS
    'Its assignments, expired ones too; kept by trigger, as is last_used_at.';
COMMENT ON COLUMN system_core.tag.merged_into_slug IS
    'The tag of the same group that replaces it, for links and imports that still say this one.';

-- FK created_by_user_account_id.
CREATE INDEX tag_author_idx ON system_core.tag (business_id, created_by_user_account_id);

ALTER TABLE system_core.tag ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.tag
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.tag TO app_user;
GRANT SELECT ON system_core.tag TO app_readonly;

CREATE TRIGGER tag_touch
    BEFORE UPDATE ON system_core.tag
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tag_stays_in_group
    BEFORE UPDATE OF tag_group_id ON system_core.tag
    FOR EACH ROW WHEN (OLD.tag_group_id <> NEW.tag_group_id AND OLD.usage_count > 0)
    EXECUTE FUNCTION system_core.refuse_move('a tag in use cannot change its group');


CREATE TABLE system_core.tag_assignment (
    business_id       uuid        NOT NULL,
    tag_assignment_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    tag_id            uuid        NOT NULL,
    entity_type_id    uuid        NOT NULL,
    entity_id         uuid        NOT NULL,
    assigned_by       uuid,
    source            text        NOT NULL DEFAULT 'manual',
    confidence_pct    system_core.percentage,
    note              text,
    is_pinned         boolean     NOT NULL DEFAULT false,
    assigned_at       timestamptz NOT NULL DEFAULT now(),
    expires_at        timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, tag_assignment_id),
    UNIQUE (business_id, tag_id, entity_type_id, entity_id),
    FOREIGN KEY (business_id, tag_id) REFERENCES system_core.tag (business_id, tag_id),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    FOREIGN KEY (business_id, assigned_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT tag_assignment_source_known
        CHECK (source IN ('manual', 'rule', 'import', 'api', 'ml')),
    CONSTRAINT tag_assignment_confidence_is_a_percentage
        CHECK (confidence_pct BETWEEN 0 AND 100),
    CONSTRAINT tag_assignment_only_a_model_is_unsure
        CHECK ((source = 'ml') = (confidence_pct IS NOT NULL)),
    CONSTRAINT tag_assignment_expires_afterwards CHECK (expires_at > assigned_at)
);

COMMENT ON TABLE system_core.tag_assignment IS 'A tag on a record.';
COMMENT ON COLUMN system_core.tag_assignment.confidence_pct IS
    'How sure the model is that put it there; nobody else is asked.';

-- The tags of a record, for its page and for the rules of exclusive groups; FK entity_type_id.
CREATE INDEX tag_assignment_record_idx
    ON system_core.tag_assignment (business_id, entity_type_id, entity_id);

-- FK assigned_by.
CREATE INDEX tag_assignment_author_idx ON system_core.tag_assignment (business_id, assigned_by);

-- The nightly removal of expired tags.
CREATE INDEX tag_assignment_expiry_idx
    ON system_core.tag_assignment (business_id, expires_at)
    WHERE expires_at IS NOT NULL;

ALTER TABLE system_core.tag_assignment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.tag_assignment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.tag_assignment TO app_user;
GRANT SELECT ON system_core.tag_assignment TO app_readonly;

-- Limited groups are locked before their tags on a record are counted: of two sessions that
-- tag the same record at once, the second one sees the first one's tag.
CREATE FUNCTION system_core.enforce_tag_limits() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    is_live CONSTANT boolean := row_security_active(TG_RELID);
    broken  record;
BEGIN
    PERFORM
    FROM system_core.tag_group AS g
    WHERE g.max_tags_per_record IS NOT NULL
        AND (g.business_id, g.tag_group_id) IN (
            SELECT t.business_id, t.tag_group_id
            FROM new_rows AS n
            JOIN system_core.tag AS t
                ON t.business_id = n.business_id AND t.tag_id = n.tag_id)
    ORDER BY g.tag_group_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    -- Counted record by record: joined, a plan may go through all records of a tag for each.
    SELECT g.code, g.max_tags_per_record, changed.entity_id INTO broken
    FROM (
        SELECT DISTINCT n.business_id, t.tag_group_id, n.entity_type_id, n.entity_id
        FROM new_rows AS n
        JOIN system_core.tag AS t ON t.business_id = n.business_id AND t.tag_id = n.tag_id
    ) AS changed
    JOIN system_core.tag_group AS g
        ON g.business_id = changed.business_id AND g.tag_group_id = changed.tag_group_id
        AND g.max_tags_per_record IS NOT NULL AND (g.is_exclusive OR is_live)
    CROSS JOIN LATERAL (
        SELECT count(*) AS carried
        FROM system_core.tag_assignment AS a
        JOIN system_core.tag AS t ON t.business_id = a.business_id AND t.tag_id = a.tag_id
        WHERE a.business_id = changed.business_id AND a.entity_type_id = changed.entity_type_id
            AND a.entity_id = changed.entity_id AND t.tag_group_id = changed.tag_group_id
            AND (a.expires_at IS NULL OR a.expires_at > now())
    ) AS record
    WHERE record.carried > g.max_tags_per_record
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'record % carries more than % of the tags of group %', broken.entity_id,
                        broken.max_tags_per_record, broken.code
            USING ERRCODE = 'check_violation', HINT = 'Remove the other tag first.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.enforce_tag_limits() IS
    'A record carries at most one unexpired tag of an exclusive group, for everybody, and at
     most max_tags_per_record of another one, for applications: history may come from a time
     before the limit.';

CREATE FUNCTION system_core.refuse_unfit_tag() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    unfit record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;

    SELECT t.slug, e.schema_name || '.' || e.table_name AS kind, e.is_taggable, t.is_archived
    INTO unfit
    FROM new_rows AS n
    JOIN system_core.tag AS t ON t.business_id = n.business_id AND t.tag_id = n.tag_id
    JOIN system_core.tag_group AS g
        ON g.business_id = t.business_id AND g.tag_group_id = t.tag_group_id
    JOIN system_core.entity_type AS e
        ON e.business_id = n.business_id AND e.entity_type_id = n.entity_type_id
    WHERE NOT e.is_taggable OR t.is_archived
        OR g.applies_to <> '{}'
        AND NOT g.applies_to @> ARRAY[e.schema_name || '.' || e.table_name]
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'tag % cannot be put on a record of %: %', unfit.slug, unfit.kind,
            CASE WHEN NOT unfit.is_taggable THEN 'such records take no tags'
                 WHEN unfit.is_archived THEN 'the tag is archived'
                 ELSE 'its group does not apply to them' END
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.refuse_unfit_tag() IS
    'A tag is put only on kinds of record that take tags and that its group is meant for.';

CREATE FUNCTION system_core.count_tag_usage() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE system_core.tag AS t
    SET usage_count  = t.usage_count + d.used,
        last_used_at = greatest(t.last_used_at, d.used_at)
    FROM (
        SELECT c.business_id, c.tag_id,
               CASE TG_OP WHEN 'INSERT' THEN count(*)::integer
                          ELSE -count(*)::integer END AS used,
               CASE TG_OP WHEN 'INSERT' THEN max(c.assigned_at) END AS used_at
        FROM changed_rows AS c
        GROUP BY c.business_id, c.tag_id
    ) AS d
    WHERE t.business_id = d.business_id AND t.tag_id = d.tag_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.count_tag_usage() IS 'Keeps tag.usage_count and last_used_at.';

CREATE TRIGGER tag_assignment_touch
    BEFORE UPDATE ON system_core.tag_assignment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER tag_assignment_stays
    BEFORE UPDATE OF tag_id, entity_type_id, entity_id ON system_core.tag_assignment
    FOR EACH ROW WHEN ((OLD.tag_id, OLD.entity_type_id, OLD.entity_id)
                       <> (NEW.tag_id, NEW.entity_type_id, NEW.entity_id))
    EXECUTE FUNCTION system_core.refuse_move(
        'a tag assignment cannot move: delete it and assign another tag');

CREATE TRIGGER tag_assignment_added_fits
    AFTER INSERT ON system_core.tag_assignment
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_unfit_tag();

CREATE TRIGGER tag_assignment_added_within_limits
    AFTER INSERT ON system_core.tag_assignment
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.enforce_tag_limits();

CREATE TRIGGER tag_assignment_changed_within_limits
    AFTER UPDATE ON system_core.tag_assignment
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.enforce_tag_limits();

CREATE TRIGGER tag_assignment_added_counted
    AFTER INSERT ON system_core.tag_assignment
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.count_tag_usage();

CREATE TRIGGER tag_assignment_removed_counted
    AFTER DELETE ON system_core.tag_assignment
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.count_tag_usage();


CREATE TABLE system_core.comment (
    business_id            uuid        NOT NULL,
    comment_id             uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    entity_type_id         uuid        NOT NULL,
    entity_id              uuid        NOT NULL,
    parent_comment_id      uuid,
    author_user_account_id uuid        NOT NULL,
    body_markdown          text        NOT NULL,
    visibility             text        NOT NULL DEFAULT 'internal',
    thread_path            text        NOT NULL DEFAULT '',
    depth                  integer     NOT NULL DEFAULT 0,
    reply_count            integer     NOT NULL DEFAULT 0,
    is_resolved            boolean     NOT NULL DEFAULT false,
    resolved_at            timestamptz,
    edited_at              timestamptz,
    deleted_at             timestamptz,
    pinned_at              timestamptz,
    created_at             timestamptz NOT NULL DEFAULT now(),
    updated_at             timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, comment_id),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    FOREIGN KEY (business_id, parent_comment_id)
        REFERENCES system_core.comment (business_id, comment_id),
    FOREIGN KEY (business_id, author_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT comment_visibility_known
        CHECK (visibility IN ('internal', 'customer', 'restricted')),
    CONSTRAINT comment_depth_in_range CHECK (depth BETWEEN 0 AND 6),
    CONSTRAINT comment_body_up_to_20000 CHECK (length(body_markdown) <= 20000),
    CONSTRAINT comment_body_blank_only_when_deleted
        CHECK ((body_markdown = '') = (deleted_at IS NOT NULL)),
    CONSTRAINT comment_reply_count_not_negative CHECK (reply_count >= 0),
    CONSTRAINT comment_resolved_has_time CHECK (is_resolved = (resolved_at IS NOT NULL)),
    CONSTRAINT comment_resolved_after_creation CHECK (resolved_at >= created_at),
    CONSTRAINT comment_edited_after_creation CHECK (edited_at >= created_at),
    CONSTRAINT comment_deleted_after_creation CHECK (deleted_at >= created_at),
    CONSTRAINT comment_pinned_after_creation CHECK (pinned_at >= created_at)
);

COMMENT ON TABLE system_core.comment IS
    'A threaded remark on any record, internal or shown to the customer.';
COMMENT ON COLUMN system_core.comment.thread_path IS
    'Keys from the first comment of the thread down to this one; sorting by it shows a record''s
     threads in order, for keys grow with time. Filled by trigger, as is depth.';
COMMENT ON COLUMN system_core.comment.reply_count IS
    'Direct replies that are not deleted; kept by trigger.';
COMMENT ON COLUMN system_core.comment.deleted_at IS
    'The row stays, so that replies keep their place; its text is gone.';

-- record_timeline: the comments of a record, newest first; FK entity_type_id.
CREATE INDEX comment_record_idx
    ON system_core.comment (business_id, entity_type_id, entity_id, created_at DESC);

-- The replies to a comment; FK parent_comment_id.
CREATE INDEX comment_parent_idx
    ON system_core.comment (business_id, parent_comment_id)
    WHERE parent_comment_id IS NOT NULL;

-- What a user wrote, newest first; FK author_user_account_id.
CREATE INDEX comment_author_idx
    ON system_core.comment (business_id, author_user_account_id, created_at DESC);

ALTER TABLE system_core.comment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.comment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.comment TO app_user;
GRANT SELECT ON system_core.comment TO app_readonly;

CREATE FUNCTION system_core.place_comment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    parent system_core.comment;
BEGIN
    IF NEW.parent_comment_id IS NULL THEN
        NEW.depth := 0;
        NEW.thread_path := NEW.comment_id::text;
        RETURN NEW;
    END IF;

    SELECT c.* INTO parent
    FROM system_core.comment AS c
    WHERE c.business_id = NEW.business_id AND c.comment_id = NEW.parent_comment_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'comment %: the comment it replies to, %, does not exist',
                        NEW.comment_id, NEW.parent_comment_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'Insert a reply after its parent.';
    END IF;
    IF (NEW.entity_type_id, NEW.entity_id) <> (parent.entity_type_id, parent.entity_id)
            AND row_security_active(TG_RELID) THEN
        RAISE EXCEPTION 'comment %: it replies to a comment on another record', NEW.comment_id
            USING ERRCODE = 'check_violation',
                  HINT = 'Leave the record out: a reply takes that of its parent.';
    END IF;
    NEW.entity_type_id := parent.entity_type_id;
    NEW.entity_id := parent.entity_id;
    IF parent.depth = 6 THEN
        NEW.parent_comment_id := parent.parent_comment_id;
        NEW.depth := 6;
        NEW.thread_path := left(parent.thread_path, -36) || NEW.comment_id;
    ELSE
        NEW.depth := parent.depth + 1;
        NEW.thread_path := parent.thread_path || '/' || NEW.comment_id;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.place_comment() IS
    'Sets thread_path and depth. A reply stands on its parent''s record, for imported history
     whatever it says itself; one to a comment on the seventh and last level stands beside it.';

CREATE FUNCTION system_core.require_commentable() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    refused record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    SELECT e.schema_name, e.table_name INTO refused
    FROM new_rows AS n
    JOIN system_core.entity_type AS e
        ON e.business_id = n.business_id AND e.entity_type_id = n.entity_type_id
    WHERE NOT e.is_commentable
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'records of %.% take no comments', refused.schema_name,
                        refused.table_name
            USING ERRCODE = 'check_violation', HINT = 'entity_type.is_commentable switches it on.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.require_commentable() IS
    'Comments are written on kinds of record that take them.';

CREATE FUNCTION system_core.edit_comment() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.deleted_at IS NOT NULL THEN
        NEW.body_markdown := '';
    ELSIF TG_OP = 'UPDATE' AND NEW.edited_at IS NOT DISTINCT FROM OLD.edited_at THEN
        NEW.edited_at := now();
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.edit_comment() IS
    'Blanks a deleted comment and dates an edited one.';

CREATE FUNCTION system_core.count_replies() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE system_core.comment AS p
    SET reply_count = p.reply_count + CASE TG_OP WHEN 'INSERT' THEN d.replies
                                                 ELSE -d.replies END
    FROM (
        SELECT c.business_id, c.parent_comment_id, count(*)::integer AS replies
        FROM changed_rows AS c
        WHERE c.parent_comment_id IS NOT NULL AND c.deleted_at IS NULL
        GROUP BY c.business_id, c.parent_comment_id
    ) AS d
    WHERE p.business_id = d.business_id AND p.comment_id = d.parent_comment_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.count_replies() IS
    'Keeps comment.reply_count when replies come or go.';

-- It updates the table whose updates it follows, hence the look before.
CREATE FUNCTION system_core.recount_replies() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM new_rows AS n
        JOIN old_rows AS o ON o.business_id = n.business_id AND o.comment_id = n.comment_id
        WHERE n.parent_comment_id IS NOT NULL
            AND (n.deleted_at IS NULL) <> (o.deleted_at IS NULL)
    ) THEN
        RETURN NULL;
    END IF;

    UPDATE system_core.comment AS p
    SET reply_count = p.reply_count - d.replies
    FROM (
        SELECT n.business_id, n.parent_comment_id,
               sum(CASE WHEN o.deleted_at IS NULL THEN 1 ELSE -1 END)::integer AS replies
        FROM new_rows AS n
        JOIN old_rows AS o ON o.business_id = n.business_id AND o.comment_id = n.comment_id
        WHERE n.parent_comment_id IS NOT NULL
            AND (n.deleted_at IS NULL) <> (o.deleted_at IS NULL)
        GROUP BY n.business_id, n.parent_comment_id
    ) AS d
    WHERE p.business_id = d.business_id AND p.comment_id = d.parent_comment_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.recount_replies() IS
    'Keeps comment.reply_count when replies are deleted.';

CREATE TRIGGER comment_touch
    BEFORE UPDATE ON system_core.comment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER comment_place
    BEFORE INSERT ON system_core.comment
    FOR EACH ROW EXECUTE FUNCTION system_core.place_comment();

CREATE TRIGGER comment_stays
    BEFORE UPDATE OF entity_type_id, entity_id, parent_comment_id ON system_core.comment
    FOR EACH ROW WHEN ((OLD.entity_type_id, OLD.entity_id, OLD.parent_comment_id)
                       IS DISTINCT FROM (NEW.entity_type_id, NEW.entity_id, NEW.parent_comment_id))
    EXECUTE FUNCTION system_core.refuse_move('a comment cannot move to another record or thread');

CREATE TRIGGER comment_blank
    BEFORE INSERT ON system_core.comment
    FOR EACH ROW WHEN (NEW.deleted_at IS NOT NULL)
    EXECUTE FUNCTION system_core.edit_comment();

CREATE TRIGGER comment_edit
    BEFORE UPDATE OF body_markdown, deleted_at ON system_core.comment
    FOR EACH ROW WHEN (OLD.body_markdown <> NEW.body_markdown OR NEW.deleted_at IS NOT NULL)
    EXECUTE FUNCTION system_core.edit_comment();

CREATE TRIGGER comment_added
    AFTER INSERT ON system_core.comment
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.require_commentable();

CREATE TRIGGER comment_added_counted
    AFTER INSERT ON system_core.comment
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.count_replies();

CREATE TRIGGER comment_removed_counted
    AFTER DELETE ON system_core.comment
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.count_replies();

CREATE TRIGGER comment_changed_counted
    AFTER UPDATE ON system_core.comment
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.recount_replies();


CREATE TABLE system_core.comment_mention (
    business_id               uuid        NOT NULL,
    comment_mention_id        uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    comment_id                uuid        NOT NULL,
    mentioned_user_account_id uuid        NOT NULL,
    notification_id           uuid,
    mention_offset            integer     NOT NULL,
    mention_kind              text        NOT NULL DEFAULT 'user',
    display_text              text        NOT NULL,
    is_action_requested       boolean     NOT NULL DEFAULT false,
    action_due_on             date,
    notified_at               timestamptz,
    read_at                   timestamptz,
    created_at                timestamptz NOT NULL DEFAULT now(),
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, comment_mention_id),
    UNIQUE (business_id, comment_id, mentioned_user_account_id),
    FOREIGN KEY (business_id, comment_id)
        REFERENCES system_core.comment (business_id, comment_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, mentioned_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    FOREIGN KEY (business_id, notification_id)
        REFERENCES system_core.notification (business_id, notification_id),
    CONSTRAINT comment_mention_kind_known CHECK (mention_kind IN ('user', 'role', 'team')),
    CONSTRAINT comment_mention_offset_in_text CHECK (mention_offset BETWEEN 0 AND 20000),
    CONSTRAINT comment_mention_due_only_with_action
        CHECK (is_action_requested OR action_due_on IS NULL),
    CONSTRAINT comment_mention_read_after_notified CHECK (read_at >= notified_at),
    CONSTRAINT comment_mention_read_only_when_notified
        CHECK (read_at IS NULL OR notified_at IS NOT NULL)
);

COMMENT ON TABLE system_core.comment_mention IS
    'A person named in a comment, and whether they have been told.';
COMMENT ON COLUMN system_core.comment_mention.mention_offset IS
    'Character of the comment''s text at which display_text stands.';
COMMENT ON COLUMN system_core.comment_mention.mention_kind IS
    'A role or team that was named has one row for each of its people.';

-- "Mentions of me", unread first; FK mentioned_user_account_id.
CREATE INDEX comment_mention_person_idx
    ON system_core.comment_mention (business_id, mentioned_user_account_id, read_at DESC);

-- FK notification_id.
CREATE INDEX comment_mention_notification_idx
    ON system_core.comment_mention (business_id, notification_id);

ALTER TABLE system_core.comment_mention ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.comment_mention
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.comment_mention TO app_user;
GRANT SELECT ON system_core.comment_mention TO app_readonly;

CREATE TRIGGER comment_mention_touch
    BEFORE UPDATE ON system_core.comment_mention
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.comment_reaction (
    business_id         uuid        NOT NULL,
    comment_reaction_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    comment_id          uuid        NOT NULL,
    user_account_id     uuid        NOT NULL,
    reaction            text        NOT NULL,
    source              text        NOT NULL DEFAULT 'web',
    skin_tone           integer     NOT NULL DEFAULT 0,
    client_id           text,
    is_first_reaction   boolean     NOT NULL DEFAULT false,
    reacted_at          timestamptz NOT NULL DEFAULT now(),
    removed_at          timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, comment_reaction_id),
    FOREIGN KEY (business_id, comment_id)
        REFERENCES system_core.comment (business_id, comment_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT comment_reaction_known
        CHECK (reaction IN ('thumbs_up', 'thumbs_down', 'heart', 'laugh', 'celebrate', 'eyes',
                            'check')),
    CONSTRAINT comment_reaction_source_known CHECK (source IN ('web', 'mobile', 'email_reply')),
    CONSTRAINT comment_reaction_skin_tone_known CHECK (skin_tone BETWEEN 0 AND 5),
    CONSTRAINT comment_reaction_removed_afterwards CHECK (removed_at >= reacted_at)
);

COMMENT ON TABLE system_core.comment_reaction IS 'An emoji reaction of a user to a comment.';
COMMENT ON COLUMN system_core.comment_reaction.skin_tone IS
    '0 is the yellow of the emoji itself, 1 to 5 its Fitzpatrick modifiers.';
COMMENT ON COLUMN system_core.comment_reaction.client_id IS
    'The device that sent it, so that its own echo is not shown twice.';
COMMENT ON COLUMN system_core.comment_reaction.is_first_reaction IS
    'It was the first on its comment, of which the author is told; later ones are only counted.';

-- The reactions under a comment; a user reacts in one way once at a time.
CREATE UNIQUE INDEX comment_reaction_current_idx
    ON system_core.comment_reaction (business_id, comment_id, user_account_id, reaction)
    WHERE removed_at IS NULL;

-- FK comment_id, removed reactions included.
CREATE INDEX comment_reaction_comment_idx
    ON system_core.comment_reaction (business_id, comment_id);

-- FK user_account_id.
CREATE INDEX comment_reaction_user_idx
    ON system_core.comment_reaction (business_id, user_account_id);

ALTER TABLE system_core.comment_reaction ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.comment_reaction
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.comment_reaction TO app_user;
GRANT SELECT ON system_core.comment_reaction TO app_readonly;

CREATE TRIGGER comment_reaction_touch
    BEFORE UPDATE ON system_core.comment_reaction
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE FUNCTION system_core.custom_field_problem(
    data_type  text,
    options    jsonb,
    validation jsonb,
    value      jsonb
) RETURNS text
    LANGUAGE plpgsql STABLE AS $$
DECLARE
    kind CONSTANT text := jsonb_typeof(value);
    -- Scalars as text and number; NULL where the value is of another type.
    words  CONSTANT text := CASE WHEN kind = 'string' THEN value #>> '{}' END;
    number CONSTANT numeric := CASE WHEN kind = 'number' THEN (value #>> '{}')::numeric END;
    expected CONSTANT text := CASE
        WHEN data_type IN ('number', 'money') THEN 'number'
        WHEN data_type = 'boolean' THEN 'boolean'
        WHEN data_type = 'multi_select' THEN 'array'
        WHEN data_type = 'json' THEN kind
        ELSE 'string' END;
BEGIN
    IF kind IS DISTINCT FROM expected OR kind = 'null' THEN
        RETURN format('a %s is a JSON %s, not %s', data_type, coalesce(nullif(expected, 'null'),
                      'value'), coalesce(kind, 'nothing'));
    END IF;

    RETURN CASE data_type
        WHEN 'number' THEN CASE
            WHEN number < (validation ->> 'min')::numeric
                THEN format('%s is less than %s', number, validation ->> 'min')
            WHEN number > (validation ->> 'max')::numeric
                THEN format('%s is more than %s', number, validation ->> 'max') END
        WHEN 'money' THEN CASE
            WHEN number <> round(number, 2) THEN format('%s has fractions of a cent', number)
            WHEN number < (validation ->> 'min')::numeric
                THEN format('%s is less than %s', number, validation ->> 'min')
            WHEN number > (validation ->> 'max')::numeric
                THEN format('%s is more than %s', number, validation ->> 'max') END
        WHEN 'text' THEN CASE
            WHEN length(words) < (validation ->> 'min_length')::integer
                THEN format('is shorter than %s', validation ->> 'min_length')
            WHEN length(words) > (validation ->> 'max_length')::integer
                THEN format('is longer than %s', validation ->> 'max_length')
            WHEN words !~ (validation ->> 'pattern')
                THEN format('does not match %s', validation ->> 'pattern') END
        WHEN 'date' THEN CASE
            WHEN words !~ '^\d{4}-\d{2}-\d{2}$' OR NOT pg_input_is_valid(words, 'date')
                THEN format('%s is not a date like 2026-01-31', words)
            WHEN words < (validation ->> 'min')
                THEN format('%s is before %s', words, validation ->> 'min')
            WHEN words > (validation ->> 'max')
                THEN format('%s is after %s', words, validation ->> 'max') END
        WHEN 'url' THEN CASE
            WHEN words !~ '^https?://[^\s]+$' THEN format('%s is not a web address', words) END
        WHEN 'user' THEN CASE
            WHEN NOT pg_input_is_valid(words, 'uuid') THEN format('%s is not a user', words) END
        WHEN 'select' THEN (
            SELECT format('%s is not one of the choices', words)
            WHERE NOT EXISTS (
                SELECT FROM JSON_TABLE(options, '$[*]' COLUMNS (choice text PATH '$.value')) AS o
                WHERE o.choice = words))
        WHEN 'multi_select' THEN (
            SELECT format('%s is not one of the choices', picked.choice)
            FROM JSON_TABLE(value, '$[*]' COLUMNS (choice text PATH '$')) AS picked
            WHERE NOT EXISTS (
                SELECT FROM JSON_TABLE(options, '$[*]' COLUMNS (choice text PATH '$.value')) AS o
                WHERE o.choice = picked.choice)
            LIMIT 1)
    END;
END
$$;
COMMENT ON FUNCTION system_core.custom_field_problem(text, jsonb, jsonb, jsonb) IS
    'What is wrong with a value for a custom field of this type, with these choices and this
     validation; NULL when nothing is.';


CREATE TABLE system_core.custom_field_definition (
    business_id                uuid             NOT NULL,
    custom_field_definition_id uuid             NOT NULL DEFAULT system_core.uuid_v7(),
    entity_type_id             uuid             NOT NULL,
    field_key                  system_core.code NOT NULL,
    label                      text             NOT NULL,
    data_type                  text             NOT NULL,
    options                    system_core.json_array,
    validation                 system_core.json_object,
    default_value              jsonb,
    is_required                boolean          NOT NULL DEFAULT false,
    is_searchable              boolean          NOT NULL DEFAULT false,
    show_in_list               boolean          NOT NULL DEFAULT false,
    sort_order                 integer          NOT NULL DEFAULT 0,
    archived_at                timestamptz,
    created_at                 timestamptz      NOT NULL DEFAULT now(),
    updated_at                 timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, custom_field_definition_id),
    UNIQUE (business_id, entity_type_id, field_key),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    CONSTRAINT custom_field_definition_type_known
        CHECK (data_type IN ('text', 'number', 'money', 'date', 'boolean', 'select',
                             'multi_select', 'url', 'user', 'json')),
    CONSTRAINT custom_field_definition_select_has_options
        CHECK (data_type NOT IN ('select', 'multi_select') OR options IS NOT NULL),
    CONSTRAINT custom_field_definition_lengths_are_numbers
        CHECK (jsonb_typeof(validation -> 'min_length') = 'number'
               AND jsonb_typeof(validation -> 'max_length') = 'number'),
    CONSTRAINT custom_field_definition_pattern_is_text
        CHECK (jsonb_typeof(validation -> 'pattern') = 'string')
);

COMMENT ON TABLE system_core.custom_field_definition IS
    'A field that the tenant adds to a kind of record, with its type and validation.';
COMMENT ON COLUMN system_core.custom_field_definition.options IS
    'Choices of a select, in order: [{"value": "gold", "label": "Gold", "color": "#d4af37"}].';
COMMENT ON COLUMN system_core.custom_field_definition.validation IS
    '{"min", "max"} for number, money and date, {"min_length", "max_length", "pattern"} for text.';

ALTER TABLE system_core.custom_field_definition
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.custom_field_definition
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.custom_field_definition TO app_user;
GRANT SELECT ON system_core.custom_field_definition TO app_readonly;

CREATE FUNCTION system_core.check_custom_field_definition() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    problem text;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NEW;
    END IF;
    IF NEW.options IS NOT NULL AND EXISTS (
        SELECT
        FROM JSON_TABLE(NEW.options, '$[*]'
                        COLUMNS (choice text PATH '$.value', label text PATH '$.label')) AS o
        WHERE o.choice IS NULL OR o.label IS NULL
    ) THEN
        RAISE EXCEPTION 'custom field %: every option needs a value and a label', NEW.field_key
            USING ERRCODE = 'check_violation';
    END IF;
    PERFORM '' ~ (NEW.validation ->> 'pattern');
    problem := system_core.custom_field_problem(NEW.data_type, NEW.options, NEW.validation,
                                                NEW.default_value);
    IF NEW.default_value IS NOT NULL AND problem IS NOT NULL THEN
        RAISE EXCEPTION 'custom field %: its default is no valid value: %', NEW.field_key, problem
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.check_custom_field_definition() IS
    'Options carry a value and a label, a pattern is a regular expression, and the default
     satisfies the field''s own rules.';

CREATE FUNCTION system_core.freeze_custom_field_type() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM system_core.custom_field_value AS v
               WHERE v.business_id = NEW.business_id
                   AND v.custom_field_definition_id = NEW.custom_field_definition_id) THEN
        RAISE EXCEPTION 'custom field % has values: it stays %', NEW.field_key, OLD.data_type
            USING ERRCODE = 'restrict_violation',
                  HINT = 'Archive it and define another one.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.freeze_custom_field_type() IS
    'The type and the kind of record of a custom field cannot change once values exist.';

CREATE TRIGGER custom_field_definition_touch
    BEFORE UPDATE ON system_core.custom_field_definition
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER custom_field_definition_sound
    BEFORE INSERT OR UPDATE OF data_type, options, validation, default_value
    ON system_core.custom_field_definition
    FOR EACH ROW WHEN (num_nonnulls(NEW.options, NEW.validation, NEW.default_value) > 0)
    EXECUTE FUNCTION system_core.check_custom_field_definition();

CREATE TRIGGER custom_field_definition_type_frozen
    BEFORE UPDATE OF data_type, entity_type_id ON system_core.custom_field_definition
    FOR EACH ROW WHEN (OLD.data_type <> NEW.data_type
                       OR OLD.entity_type_id <> NEW.entity_type_id)
    EXECUTE FUNCTION system_core.freeze_custom_field_type();


CREATE TABLE system_core.custom_field_value (
    business_id                uuid        NOT NULL,
    custom_field_value_id      uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    custom_field_definition_id uuid        NOT NULL,
    entity_id                  uuid        NOT NULL,
    value                      jsonb       NOT NULL,
    value_text                 text,
    value_number               numeric(18, 6),
    value_date                 date,
    value_boolean              boolean,
    source                     text        NOT NULL DEFAULT 'user',
    set_at                     timestamptz NOT NULL DEFAULT now(),
    created_at                 timestamptz NOT NULL DEFAULT now(),
    updated_at                 timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, custom_field_value_id),
    UNIQUE (business_id, custom_field_definition_id, entity_id),
    FOREIGN KEY (business_id, custom_field_definition_id)
        REFERENCES system_core.custom_field_definition (business_id, custom_field_definition_id),
    CONSTRAINT custom_field_value_source_known
        CHECK (source IN ('user', 'import', 'api', 'rule')),
    CONSTRAINT custom_field_value_is_not_null CHECK (jsonb_typeof(value) <> 'null'),
    CONSTRAINT custom_field_value_mirrored_once
        CHECK (num_nonnulls(value_text, value_number, value_date, value_boolean) = 1)
);

COMMENT ON TABLE system_core.custom_field_value IS
    'The value of a custom field on one record; no row where the field is empty.';
COMMENT ON COLUMN system_core.custom_field_value.value_text IS
    'Mirror of value, for filters and sorting: one of the four value_ columns, by the field''s
     type and filled by trigger; a text is cut after 400 characters.';

-- The values of one record, for its page.
CREATE INDEX custom_field_value_record_idx
    ON system_core.custom_field_value (business_id, entity_id);

-- List filters "field = choice", "field starts with" and the sort by a text field.
CREATE INDEX custom_field_value_text_idx
    ON system_core.custom_field_value (business_id, custom_field_definition_id, value_text)
    WHERE value_text IS NOT NULL;

-- List filters "field between" on numbers and money.
CREATE INDEX custom_field_value_number_idx
    ON system_core.custom_field_value (business_id, custom_field_definition_id, value_number)
    WHERE value_number IS NOT NULL;

-- List filters "field before", "field after".
CREATE INDEX custom_field_value_date_idx
    ON system_core.custom_field_value (business_id, custom_field_definition_id, value_date)
    WHERE value_date IS NOT NULL;

ALTER TABLE system_core.custom_field_value ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.custom_field_value
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.custom_field_value TO app_user;
GRANT SELECT ON system_core.custom_field_value TO app_readonly;

CREATE FUNCTION system_core.mirror_custom_field_value() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    kind    CONSTANT text := jsonb_typeof(NEW.value);
    content CONSTANT text := NEW.value #>> '{}';
    field   system_core.custom_field_definition;
    problem text;
BEGIN
    SELECT d.* INTO field
    FROM system_core.custom_field_definition AS d
    WHERE d.business_id = NEW.business_id
        AND d.custom_field_definition_id = NEW.custom_field_definition_id;
    IF FOUND AND row_security_active(TG_RELID) THEN
        problem := system_core.custom_field_problem(field.data_type, field.options,
                                                    field.validation, NEW.value);
        IF problem IS NULL AND field.archived_at IS NOT NULL THEN
            problem := 'the field is archived';
        ELSIF problem IS NULL AND field.data_type = 'user' THEN
            PERFORM FROM user_mgmt.user_account AS u
            WHERE u.business_id = NEW.business_id AND u.user_account_id = content::uuid;
            problem := CASE WHEN NOT FOUND THEN format('%s is not a user', content) END;
        END IF;
        IF problem IS NOT NULL THEN
            RAISE EXCEPTION 'custom field %: %', field.field_key, problem
                USING ERRCODE = 'check_violation';
        END IF;
    END IF;

    NEW.value_text := NULL;
    NEW.value_number := NULL;
    NEW.value_date := NULL;
    NEW.value_boolean := NULL;
    IF kind = 'number' THEN
        NEW.value_number := content::numeric;
    ELSIF kind = 'boolean' THEN
        NEW.value_boolean := content::boolean;
    ELSIF field.data_type = 'date' AND pg_input_is_valid(content, 'date') THEN
        NEW.value_date := content::date;
    ELSE
        NEW.value_text := left(content, 400);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.mirror_custom_field_value() IS
    'Checks a value against its field, where an application sets it, and mirrors it in the one
     typed column that fits. Imported history may stem from a time of other rules.';

CREATE TRIGGER custom_field_value_touch
    BEFORE UPDATE ON system_core.custom_field_value
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER custom_field_value_mirror
    BEFORE INSERT OR UPDATE OF custom_field_definition_id, value, value_text, value_number,
                               value_date, value_boolean
    ON system_core.custom_field_value
    FOR EACH ROW EXECUTE FUNCTION system_core.mirror_custom_field_value();


-- Comments in the global search box: comment is itself a kind of record in entity_type.

CREATE FUNCTION system_core.index_comments() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  uuid;
    changed uuid[];
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;
    IF TG_OP = 'INSERT' THEN
        SELECT n.business_id, array_agg(n.comment_id) INTO tenant, changed
        FROM new_rows AS n
        GROUP BY n.business_id;
    ELSE
        SELECT n.business_id, array_agg(n.comment_id) INTO tenant, changed
        FROM new_rows AS n
        JOIN old_rows AS o ON o.business_id = n.business_id AND o.comment_id = n.comment_id
        WHERE (n.body_markdown, n.visibility) <> (o.body_markdown, o.visibility)
        GROUP BY n.business_id;
    END IF;
    IF changed IS NULL THEN
        RETURN NULL;
    END IF;

    DELETE FROM system_core.search_document AS s
    USING system_core.entity_type AS k, system_core.comment AS c
    WHERE k.business_id = tenant AND k.schema_name = 'system_core' AND k.table_name = 'comment'
        AND c.business_id = tenant AND c.comment_id = ANY (changed)
        AND (c.deleted_at IS NOT NULL OR c.visibility = 'restricted')
        AND s.business_id = tenant AND s.entity_type_id = k.entity_type_id
        AND s.entity_id = c.comment_id;

    INSERT INTO system_core.search_document AS s
        (business_id, entity_type_id, entity_id, title, subtitle, body_excerpt,
         source_updated_at, indexed_at)
    SELECT tenant, k.entity_type_id, c.comment_id, u.display_name, r.display_name,
           left(c.body_markdown, 500), c.updated_at, greatest(now(), c.updated_at)
    FROM system_core.entity_type AS k
    JOIN system_core.comment AS c
        ON c.business_id = tenant AND c.comment_id = ANY (changed)
    JOIN system_core.entity_type AS r
        ON r.business_id = tenant AND r.entity_type_id = c.entity_type_id
    JOIN user_mgmt.user_account AS u
        ON u.business_id = tenant AND u.user_account_id = c.author_user_account_id
    WHERE k.business_id = tenant AND k.schema_name = 'system_core' AND k.table_name = 'comment'
        AND k.is_searchable AND c.deleted_at IS NULL AND c.visibility <> 'restricted'
    ON CONFLICT (business_id, entity_type_id, entity_id) DO UPDATE
    SET body_excerpt      = excluded.body_excerpt,
        source_updated_at = excluded.source_updated_at,
        indexed_at        = excluded.indexed_at;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.index_comments() IS
    'Keeps the search document of a comment, where the tenant has made comments searchable;
     restricted and deleted ones have none. History is indexed by the reindexing job.';

CREATE TRIGGER comment_added_indexed
    AFTER INSERT ON system_core.comment
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.index_comments();

CREATE TRIGGER comment_changed_indexed
    AFTER UPDATE ON system_core.comment
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.index_comments();


-- What an application calls and reads.

CREATE FUNCTION system_core.entity_timeline(
    entity_schema text,
    entity_table  text,
    record_id     uuid,
    before        timestamptz DEFAULT 'infinity',
    max_items     integer DEFAULT 50
) RETURNS TABLE (
    occurred_at           timestamptz,
    item_kind             text,
    item_id               uuid,
    actor_user_account_id uuid,
    summary               text,
    detail                jsonb
)
    LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH kind AS (
        SELECT e.business_id, e.entity_type_id
        FROM system_core.entity_type AS e
        WHERE e.business_id = tenant_mgmt.current_business_id()
            AND e.schema_name = entity_timeline.entity_schema
            AND e.table_name = entity_timeline.entity_table
    ), activity AS (
        SELECT a.occurred_at, 'activity' AS item_kind, a.activity_event_id AS item_id,
               a.actor_user_account_id, a.action AS summary,
               CASE WHEN a.is_sensitive THEN NULL ELSE a.changes::jsonb END AS detail
        FROM kind
        JOIN system_core.activity_event AS a
            ON a.business_id = kind.business_id AND a.entity_type_id = kind.entity_type_id
        WHERE a.business_id = tenant_mgmt.current_business_id()
            AND a.entity_id = entity_timeline.record_id
            AND a.occurred_at < entity_timeline.before
        ORDER BY a.occurred_at DESC
        LIMIT entity_timeline.max_items
    ), remark AS (
        SELECT c.created_at, 'comment', c.comment_id, c.author_user_account_id,
               left(c.body_markdown, 500),
               jsonb_build_object('visibility', c.visibility, 'replies', c.reply_count,
                                  'resolved', c.is_resolved)
        FROM kind
        JOIN system_core.comment AS c
            ON c.business_id = kind.business_id AND c.entity_type_id = kind.entity_type_id
        WHERE c.business_id = tenant_mgmt.current_business_id()
            AND c.entity_id = entity_timeline.record_id
            AND c.created_at < entity_timeline.before
            AND c.deleted_at IS NULL AND c.visibility <> 'restricted'
        ORDER BY c.created_at DESC
        LIMIT entity_timeline.max_items
    ), attachment AS (
        SELECT a.created_at, 'file', a.file_attachment_id, a.attached_by,
               coalesce(a.caption, f.file_name),
               jsonb_build_object('file_object_id', f.file_object_id, 'role', a.role,
                                  'media_type', f.media_type, 'scan_status', f.scan_status)
        FROM kind
        JOIN system_core.file_attachment AS a
            ON a.business_id = kind.business_id AND a.entity_type_id = kind.entity_type_id
        JOIN system_core.file_object AS f
            ON f.business_id = a.business_id AND f.file_object_id = a.file_object_id
        WHERE a.business_id = tenant_mgmt.current_business_id()
            AND a.entity_id = entity_timeline.record_id
            AND a.created_at < entity_timeline.before
            AND f.deleted_at IS NULL
        ORDER BY a.created_at DESC
        LIMIT entity_timeline.max_items
    )
    SELECT * FROM activity
    UNION ALL
    SELECT * FROM remark
    UNION ALL
    SELECT * FROM attachment
    ORDER BY occurred_at DESC, item_id DESC
    LIMIT entity_timeline.max_items;
END;
COMMENT ON FUNCTION system_core.entity_timeline(text, text, uuid, timestamptz, integer) IS
    'What happened to a record of the current tenant, newest first: actions, comments (without
     restricted and deleted ones) and files. The next page starts before the last time shown.';


CREATE VIEW system_core.v_tag_usage WITH (security_invoker = true) AS
SELECT t.business_id,
       t.tag_id,
       g.tag_group_id,
       g.code AS tag_group_code,
       g.name AS tag_group_name,
       t.name AS tag_name,
       t.slug,
       coalesce(t.color_hex, g.color_hex) AS color_hex,
       g.is_exclusive,
       t.usage_count,
       coalesce(live.records, 0)::integer AS live_count,
       t.last_used_at
FROM system_core.tag AS t
JOIN system_core.tag_group AS g
    ON g.business_id = t.business_id AND g.tag_group_id = t.tag_group_id
LEFT JOIN (
    SELECT a.business_id, a.tag_id, count(*) AS records
    FROM system_core.tag_assignment AS a
    WHERE a.expires_at IS NULL OR a.expires_at > now()
    GROUP BY a.business_id, a.tag_id
) AS live ON live.business_id = t.business_id AND live.tag_id = t.tag_id
WHERE NOT t.is_archived;
COMMENT ON VIEW system_core.v_tag_usage IS
    'The tag picker: tags in use with their group, color, unexpired assignments and last use.';
GRANT SELECT ON system_core.v_tag_usage TO app_user, app_readonly;
