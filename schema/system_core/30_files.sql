/*
 * Files: upload, version, scan, quarantine, attach, share and trace any document or photo.
 *
 * A file_object is what a user sees: a name in a folder, kept in a storage_location. Its
 * contents are file_versions, of which one is current; publishing a version makes the file
 * take over that content and be scanned anew. Every file_scan of the current version moves
 * the file's scan_status; a bad verdict opens a file_quarantine, which hides the file's
 * attachments from customers and revokes its share links until somebody decides. A
 * file_attachment ties a file to a record of any kind, a file_share_link lets an outsider
 * fetch it, and file_access_log remembers who opened what, longer than the file lives.
 */


CREATE TABLE system_core.storage_location (
    business_id         uuid                  NOT NULL,
    storage_location_id uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    name                text                  NOT NULL,
    provider            text                  NOT NULL,
    bucket              text                  NOT NULL,
    region_code         system_core.code      NOT NULL,
    storage_class       text                  NOT NULL DEFAULT 'hot',
    encryption_key_ref  system_core.vault_ref NOT NULL,
    quota_bytes         bigint                NOT NULL,
    used_bytes          bigint                NOT NULL DEFAULT 0,
    is_default          boolean               NOT NULL DEFAULT false,
    is_write_enabled    boolean               NOT NULL DEFAULT true,
    created_at          timestamptz           NOT NULL DEFAULT now(),
    updated_at          timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, storage_location_id),
    UNIQUE (business_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    CONSTRAINT storage_location_provider_known
        CHECK (provider IN ('s3', 'gcs', 'azure_blob', 'filesystem')),
    CONSTRAINT storage_location_class_known CHECK (storage_class IN ('hot', 'warm', 'archive')),
    CONSTRAINT storage_location_default_takes_writes CHECK (NOT is_default OR is_write_enabled),
    CONSTRAINT storage_location_within_quota CHECK (used_bytes BETWEEN 0 AND quota_bytes)
);

COMMENT ON TABLE system_core.storage_location IS
    'A bucket or volume where the tenant''s bytes lie, with its region, class, key and quota.';
COMMENT ON COLUMN system_core.storage_location.region_code IS
    'The provider''s region, such as us-east-1; decides where the data is resident.';
COMMENT ON COLUMN system_core.storage_location.used_bytes IS
    'Bytes of its files that are not deleted, kept by triggers of file_object; an upload that
     would pass the quota fails.';

-- Where an upload goes when nobody says: one default per business.
CREATE UNIQUE INDEX storage_location_default_idx
    ON system_core.storage_location (business_id)
    WHERE is_default;

ALTER TABLE system_core.storage_location ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.storage_location
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.storage_location TO app_user;
GRANT SELECT ON system_core.storage_location TO app_readonly;

CREATE TRIGGER storage_location_touch
    BEFORE UPDATE ON system_core.storage_location
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();


CREATE TABLE system_core.file_folder (
    business_id           uuid                  NOT NULL,
    file_folder_id        uuid                  NOT NULL DEFAULT system_core.uuid_v7(),
    parent_file_folder_id uuid,
    owner_user_account_id uuid,
    name                  text                  NOT NULL,
    path                  text                  NOT NULL DEFAULT '/',
    depth                 integer               NOT NULL DEFAULT 0,
    visibility            text                  NOT NULL DEFAULT 'business',
    is_system             boolean               NOT NULL DEFAULT false,
    color_hex             system_core.color_hex,
    item_count            integer               NOT NULL DEFAULT 0,
    archived_at           timestamptz,
    created_at            timestamptz           NOT NULL DEFAULT now(),
    updated_at            timestamptz           NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, file_folder_id),
    UNIQUE NULLS NOT DISTINCT (business_id, parent_file_folder_id, name),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, parent_file_folder_id)
        REFERENCES system_core.file_folder (business_id, file_folder_id),
    FOREIGN KEY (business_id, owner_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT file_folder_visibility_known
        CHECK (visibility IN ('private', 'team', 'business', 'public_link')),
    CONSTRAINT file_folder_private_has_owner
        CHECK (visibility <> 'private' OR owner_user_account_id IS NOT NULL),
    CONSTRAINT file_folder_name_is_one_step CHECK (name ~ '^[^/]+$'),
    CONSTRAINT file_folder_depth_in_range CHECK (depth BETWEEN 0 AND 12),
    CONSTRAINT file_folder_not_its_own_parent CHECK (parent_file_folder_id <> file_folder_id),
    CONSTRAINT file_folder_item_count_not_negative CHECK (item_count >= 0)
);

COMMENT ON TABLE system_core.file_folder IS
    'A folder of the tenant''s document tree, with its path spelled out.';
COMMENT ON COLUMN system_core.file_folder.path IS
    '/Contracts/2026: the names from the root down; with depth filled by trigger.';
COMMENT ON COLUMN system_core.file_folder.item_count IS
    'Files directly in it that are not deleted; kept by triggers of file_object.';

-- FK owner_user_account_id; the private folders of a user.
CREATE INDEX file_folder_owner_idx
    ON system_core.file_folder (business_id, owner_user_account_id);

ALTER TABLE system_core.file_folder ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_folder
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.file_folder TO app_user;
GRANT SELECT ON system_core.file_folder TO app_readonly;

-- The parent stays locked until commit, so that a concurrent rename or move of it carries the
-- new child along, and of two moves that would tie a knot one meets a deadlock and fails.
CREATE FUNCTION system_core.place_file_folder() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    parent system_core.file_folder;
BEGIN
    IF NEW.parent_file_folder_id IS NULL THEN
        NEW.path := '/' || NEW.name;
        NEW.depth := 0;
        RETURN NEW;
    END IF;

    SELECT f.* INTO parent
    FROM system_core.file_folder AS f
    WHERE f.business_id = NEW.business_id AND f.file_folder_id = NEW.parent_file_folder_id
    FOR SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'folder "%": its parent % does not exist', NEW.name,
                        NEW.parent_file_folder_id
            USING ERRCODE = 'foreign_key_violation', HINT = 'Insert a folder after its parent.';
    END IF;
    IF TG_OP = 'UPDATE' AND (parent.file_folder_id = NEW.file_folder_id
                             OR starts_with(parent.path, OLD.path || '/')) THEN
        RAISE EXCEPTION 'folder % cannot move into %, which lies inside it', OLD.path, parent.path
            USING ERRCODE = 'check_violation';
    END IF;
    NEW.path := parent.path || '/' || NEW.name;
    NEW.depth := parent.depth + 1;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.place_file_folder() IS
    'Derives path and depth of a folder from its parent; a folder never becomes its own ancestor.';

CREATE FUNCTION system_core.move_file_subfolders() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE system_core.file_folder AS f
    SET path  = NEW.path || substr(f.path, length(OLD.path) + 1),
        depth = f.depth + NEW.depth - OLD.depth
    WHERE f.business_id = NEW.business_id AND starts_with(f.path, OLD.path || '/');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.move_file_subfolders() IS
    'Carries everything below a renamed or moved folder along.';

CREATE TRIGGER file_folder_touch
    BEFORE UPDATE ON system_core.file_folder
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER file_folder_place
    BEFORE INSERT OR UPDATE OF parent_file_folder_id, name ON system_core.file_folder
    FOR EACH ROW EXECUTE FUNCTION system_core.place_file_folder();

CREATE TRIGGER file_folder_move_subfolders
    AFTER UPDATE OF parent_file_folder_id, name ON system_core.file_folder
    FOR EACH ROW WHEN (OLD.path <> NEW.path)
    EXECUTE FUNCTION system_core.move_file_subfolders();


CREATE TABLE system_core.file_object (
    business_id         uuid                   NOT NULL,
    file_object_id      uuid                   NOT NULL DEFAULT system_core.uuid_v7(),
    storage_location_id uuid                   NOT NULL,
    file_folder_id      uuid,
    uploaded_by         uuid,
    file_name           text                   NOT NULL,
    media_type          system_core.media_type NOT NULL,
    extension           text
        GENERATED ALWAYS AS (lower(substring(file_name FROM '\.([A-Za-z0-9]{1,10})$'))) STORED,
    size_bytes          bigint                 NOT NULL,
    sha256              system_core.sha256     NOT NULL,
    storage_key         text                   NOT NULL,
    classification      text                   NOT NULL DEFAULT 'internal',
    scan_status         text                   NOT NULL DEFAULT 'pending',
    current_version_no  integer                NOT NULL DEFAULT 1,
    image_width         integer,
    image_height        integer,
    is_legal_hold       boolean                NOT NULL DEFAULT false,
    uploaded_at         timestamptz            NOT NULL DEFAULT now(),
    deleted_at          timestamptz,
    created_at          timestamptz            NOT NULL DEFAULT now(),
    updated_at          timestamptz            NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, file_object_id),
    UNIQUE (business_id, storage_key),
    FOREIGN KEY (business_id, storage_location_id)
        REFERENCES system_core.storage_location (business_id, storage_location_id),
    FOREIGN KEY (business_id, file_folder_id)
        REFERENCES system_core.file_folder (business_id, file_folder_id),
    FOREIGN KEY (business_id, uploaded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT file_object_classification_known
        CHECK (classification IN ('public', 'internal', 'confidential', 'restricted')),
    CONSTRAINT file_object_scan_status_known
        CHECK (scan_status IN ('pending', 'clean', 'infected', 'quarantined', 'error',
                               'skipped')),
    CONSTRAINT file_object_name_has_no_slash CHECK (file_name ~ '^[^/]+$'),
    CONSTRAINT file_object_size_up_to_5_gib CHECK (size_bytes BETWEEN 0 AND 5368709120),
    CONSTRAINT file_object_version_counts_from_1 CHECK (current_version_no >= 1),
    CONSTRAINT file_object_image_width_positive CHECK (image_width > 0),
    CONSTRAINT file_object_image_height_positive CHECK (image_height > 0),
    CONSTRAINT file_object_image_has_both_sides
        CHECK ((image_width IS NULL) = (image_height IS NULL)),
    CONSTRAINT file_object_held_is_not_deleted CHECK (NOT is_legal_hold OR deleted_at IS NULL),
    CONSTRAINT file_object_deleted_after_upload CHECK (deleted_at >= uploaded_at)
);

COMMENT ON TABLE system_core.file_object IS
    'A stored file of any kind: photo, invoice PDF, lesson video, signed form.';
COMMENT ON COLUMN system_core.file_object.sha256 IS
    'Of the current content, as are size_bytes and storage_key.';
COMMENT ON COLUMN system_core.file_object.current_version_no IS
    'Follows file_version.is_current, by trigger.';
COMMENT ON COLUMN system_core.file_object.deleted_at IS
    'In the trash since; the row goes only with the bytes, and neither under a legal hold.';

-- folder_listing: the files of a folder by name; FK file_folder_id.
CREATE INDEX file_object_folder_idx
    ON system_core.file_object (business_id, file_folder_id, file_name);

-- "My uploads", newest first; FK uploaded_by.
CREATE INDEX file_object_uploader_idx
    ON system_core.file_object (business_id, uploaded_by, uploaded_at DESC);

-- FK storage_location_id.
CREATE INDEX file_object_location_idx
    ON system_core.file_object (business_id, storage_location_id);

-- Upload finds a duplicate of the same content.
CREATE INDEX file_object_content_idx ON system_core.file_object (business_id, sha256);

-- v_file_health and the scanner's queue: the few files that are not known to be clean.
CREATE INDEX file_object_unsafe_idx
    ON system_core.file_object (business_id, scan_status, uploaded_at)
    WHERE scan_status IN ('pending', 'infected', 'quarantined', 'error')
        AND deleted_at IS NULL;

ALTER TABLE system_core.file_object ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_object
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.file_object TO app_user;
GRANT SELECT ON system_core.file_object TO app_readonly;
GRANT SELECT ON system_core.file_object TO matview_owner;

-- Two functions keep storage_location.used_bytes and file_folder.item_count: one for rows that
-- come or go, one for rows that change, which writes only where a figure really moves.
CREATE FUNCTION system_core.count_file_objects() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    direction CONSTANT integer := CASE TG_OP WHEN 'INSERT' THEN 1 ELSE -1 END;
BEGIN
    UPDATE system_core.storage_location AS l
    SET used_bytes = l.used_bytes + direction * d.bytes
    FROM (
        SELECT c.business_id, c.storage_location_id, sum(c.size_bytes)::bigint AS bytes
        FROM changed_rows AS c
        WHERE c.deleted_at IS NULL
        GROUP BY c.business_id, c.storage_location_id
    ) AS d
    WHERE l.business_id = d.business_id AND l.storage_location_id = d.storage_location_id;

    UPDATE system_core.file_folder AS f
    SET item_count = f.item_count + direction * d.files
    FROM (
        SELECT c.business_id, c.file_folder_id, count(*)::integer AS files
        FROM changed_rows AS c
        WHERE c.deleted_at IS NULL AND c.file_folder_id IS NOT NULL
        GROUP BY c.business_id, c.file_folder_id
    ) AS d
    WHERE f.business_id = d.business_id AND f.file_folder_id = d.file_folder_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.count_file_objects() IS
    'Adds new files to, and takes removed ones from, their location''s bytes and folder''s count.';

CREATE FUNCTION system_core.recount_file_objects() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE system_core.storage_location AS l
    SET used_bytes = l.used_bytes + d.bytes
    FROM (
        SELECT c.business_id, c.storage_location_id, sum(c.bytes)::bigint AS bytes
        FROM (
            SELECT business_id, storage_location_id, size_bytes AS bytes
            FROM new_rows WHERE deleted_at IS NULL
            UNION ALL
            SELECT business_id, storage_location_id, -size_bytes
            FROM old_rows WHERE deleted_at IS NULL
        ) AS c
        GROUP BY c.business_id, c.storage_location_id
        HAVING sum(c.bytes) <> 0
    ) AS d
    WHERE l.business_id = d.business_id AND l.storage_location_id = d.storage_location_id;

    UPDATE system_core.file_folder AS f
    SET item_count = f.item_count + d.files
    FROM (
        SELECT c.business_id, c.file_folder_id, sum(c.files)::integer AS files
        FROM (
            SELECT business_id, file_folder_id, 1 AS files
            FROM new_rows WHERE deleted_at IS NULL AND file_folder_id IS NOT NULL
            UNION ALL
            SELECT business_id, file_folder_id, -1
            FROM old_rows WHERE deleted_at IS NULL AND file_folder_id IS NOT NULL
        ) AS c
        GROUP BY c.business_id, c.file_folder_id
        HAVING sum(c.files) <> 0
    ) AS d
    WHERE f.business_id = d.business_id AND f.file_folder_id = d.file_folder_id;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.recount_file_objects() IS
    'Follows files that grow, shrink, move, go to the trash or come back.';

CREATE FUNCTION system_core.refuse_held_file_deletion() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'file % is under legal hold: its deletion is refused', OLD.file_object_id
        USING ERRCODE = 'restrict_violation', HINT = 'Lift the hold first.';
END
$$;
COMMENT ON FUNCTION system_core.refuse_held_file_deletion() IS
    'Keeps a file under legal hold for everybody, its owner and administrators included.';

CREATE FUNCTION system_core.revoke_restricted_links() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE system_core.file_share_link AS k
    SET revoked_at = now()
    WHERE k.business_id = NEW.business_id AND k.file_object_id = NEW.file_object_id
        AND k.revoked_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.revoke_restricted_links() IS
    'A file that becomes restricted is not shared any longer.';

CREATE TRIGGER file_object_touch
    BEFORE UPDATE ON system_core.file_object
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER file_object_scan_status_machine
    BEFORE INSERT OR UPDATE OF scan_status ON system_core.file_object
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('scan_status', '{
        "initial": ["pending"],
        "transitions": {
            "pending":     ["clean", "infected", "error", "skipped"],
            "error":       ["pending", "clean", "infected"],
            "infected":    ["quarantined"],
            "quarantined": ["clean"],
            "clean":       ["pending", "infected"],
            "skipped":     ["pending"]
        }}');

CREATE TRIGGER file_object_held
    BEFORE DELETE ON system_core.file_object
    FOR EACH ROW WHEN (OLD.is_legal_hold)
    EXECUTE FUNCTION system_core.refuse_held_file_deletion();

CREATE TRIGGER file_object_restricted
    AFTER UPDATE OF classification ON system_core.file_object
    FOR EACH ROW WHEN (NEW.classification = 'restricted' AND OLD.classification <> 'restricted')
    EXECUTE FUNCTION system_core.revoke_restricted_links();

CREATE TRIGGER file_object_added
    AFTER INSERT ON system_core.file_object
    REFERENCING NEW TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.count_file_objects();

CREATE TRIGGER file_object_removed
    AFTER DELETE ON system_core.file_object
    REFERENCING OLD TABLE AS changed_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.count_file_objects();

CREATE TRIGGER file_object_changed
    AFTER UPDATE ON system_core.file_object
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.recount_file_objects();


CREATE TABLE system_core.file_version (
    business_id     uuid               NOT NULL,
    file_version_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    file_object_id  uuid               NOT NULL,
    uploaded_by     uuid,
    version_no      integer            NOT NULL,
    size_bytes      bigint             NOT NULL,
    sha256          system_core.sha256 NOT NULL,
    storage_key     text               NOT NULL,
    change_note     text,
    is_current      boolean            NOT NULL DEFAULT true,
    uploaded_at     timestamptz        NOT NULL DEFAULT now(),
    purged_at       timestamptz,
    created_at      timestamptz        NOT NULL DEFAULT now(),
    updated_at      timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, file_version_id),
    UNIQUE (business_id, file_object_id, version_no),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, uploaded_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT file_version_counts_from_1 CHECK (version_no >= 1),
    CONSTRAINT file_version_size_up_to_5_gib CHECK (size_bytes BETWEEN 0 AND 5368709120),
    CONSTRAINT file_version_purged_is_not_current CHECK (purged_at IS NULL OR NOT is_current),
    CONSTRAINT file_version_purged_after_upload CHECK (purged_at >= uploaded_at)
);

COMMENT ON TABLE system_core.file_version IS
    'An earlier or the current content of a file.';
COMMENT ON COLUMN system_core.file_version.purged_at IS
    'Its bytes are gone since; number, size and hash stay as evidence.';

-- file_open: the current version of a file; one at most.
CREATE UNIQUE INDEX file_version_current_idx
    ON system_core.file_version (business_id, file_object_id)
    WHERE is_current;

-- FK uploaded_by.
CREATE INDEX file_version_uploader_idx ON system_core.file_version (business_id, uploaded_by);

ALTER TABLE system_core.file_version ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_version
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.file_version TO app_user;
GRANT SELECT ON system_core.file_version TO app_readonly;

CREATE FUNCTION system_core.retire_current_file_version() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        UPDATE system_core.file_version AS v
        SET is_current = false
        WHERE v.business_id = NEW.business_id AND v.file_object_id = NEW.file_object_id
            AND v.is_current AND v.file_version_id <> NEW.file_version_id;
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.retire_current_file_version() IS
    'A version that becomes current takes the place of the one before; history says itself
     which one was.';

CREATE FUNCTION system_core.publish_file_version() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF row_security_active(TG_RELID) THEN
        UPDATE system_core.file_object AS f
        SET size_bytes  = n.size_bytes,
            sha256      = n.sha256,
            storage_key = n.storage_key,
            scan_status = 'pending'
        FROM new_rows AS n
        WHERE f.business_id = n.business_id AND f.file_object_id = n.file_object_id
            AND n.is_current AND f.sha256 <> n.sha256;
    END IF;
    UPDATE system_core.file_object AS f
    SET current_version_no = n.version_no
    FROM new_rows AS n
    WHERE f.business_id = n.business_id AND f.file_object_id = n.file_object_id
        AND n.is_current AND f.current_version_no <> n.version_no;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.publish_file_version() IS
    'The file takes over the content of its new current version and waits for a scan of it;
     a quarantined file takes none. Loaded history keeps its content and follows the number.';

CREATE FUNCTION system_core.refuse_held_version_purge() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM system_core.file_object AS f
               WHERE f.business_id = OLD.business_id AND f.file_object_id = OLD.file_object_id
                   AND f.is_legal_hold) THEN
        RAISE EXCEPTION 'file % is under legal hold: its version % is kept', OLD.file_object_id,
                        OLD.version_no
            USING ERRCODE = 'restrict_violation', HINT = 'Lift the hold first.';
    END IF;
    RETURN coalesce(NEW, OLD);
END
$$;
COMMENT ON FUNCTION system_core.refuse_held_version_purge() IS
    'A legal hold keeps earlier versions too.';

CREATE TRIGGER file_version_touch
    BEFORE UPDATE ON system_core.file_version
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER file_version_retire_previous
    BEFORE INSERT ON system_core.file_version
    FOR EACH ROW WHEN (NEW.is_current)
    EXECUTE FUNCTION system_core.retire_current_file_version();

CREATE TRIGGER file_version_restore
    BEFORE UPDATE OF is_current ON system_core.file_version
    FOR EACH ROW WHEN (NEW.is_current AND NOT OLD.is_current)
    EXECUTE FUNCTION system_core.retire_current_file_version();

CREATE TRIGGER file_version_purge_held
    BEFORE UPDATE OF purged_at ON system_core.file_version
    FOR EACH ROW WHEN (NEW.purged_at IS NOT NULL AND OLD.purged_at IS NULL)
    EXECUTE FUNCTION system_core.refuse_held_version_purge();

CREATE TRIGGER file_version_delete_held
    BEFORE DELETE ON system_core.file_version
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_held_version_purge();

CREATE TRIGGER file_version_added
    AFTER INSERT ON system_core.file_version
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.publish_file_version();

CREATE TRIGGER file_version_changed
    AFTER UPDATE ON system_core.file_version
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.publish_file_version();


CREATE TABLE system_core.file_scan (
    business_id       uuid                     NOT NULL,
    file_scan_id      uuid                     NOT NULL DEFAULT system_core.uuid_v7(),
    file_version_id   uuid                     NOT NULL,
    engine            text                     NOT NULL,
    engine_version    text                     NOT NULL,
    signature_version text                     NOT NULL,
    verdict           text                     NOT NULL,
    threat_name       text,
    severity          text                     NOT NULL DEFAULT 'none',
    scan_ms           system_core.milliseconds NOT NULL,
    is_rescan         boolean                  NOT NULL DEFAULT false,
    scanned_at        timestamptz              NOT NULL DEFAULT now(),
    created_at        timestamptz              NOT NULL DEFAULT now(),
    updated_at        timestamptz              NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, file_scan_id),
    FOREIGN KEY (business_id, file_version_id)
        REFERENCES system_core.file_version (business_id, file_version_id) ON DELETE CASCADE,
    CONSTRAINT file_scan_engine_known
        CHECK (engine IN ('clamav', 'yara', 'defender', 'vendor_api')),
    CONSTRAINT file_scan_verdict_known
        CHECK (verdict IN ('clean', 'infected', 'suspicious', 'encrypted', 'error')),
    CONSTRAINT file_scan_severity_known
        CHECK (severity IN ('none', 'low', 'medium', 'high', 'critical')),
    CONSTRAINT file_scan_infected_names_threat
        CHECK (verdict <> 'infected' OR threat_name IS NOT NULL),
    CONSTRAINT file_scan_clean_is_harmless CHECK (verdict <> 'clean' OR severity = 'none')
);

COMMENT ON TABLE system_core.file_scan IS
    'One antivirus run over one version of a file, with engine, signatures and verdict.';
COMMENT ON COLUMN system_core.file_scan.signature_version IS
    'The virus definitions that were used; newer ones are the reason for a rescan.';

-- The scans of a version, newest first, also for the release from quarantine; FK file_version_id.
CREATE INDEX file_scan_version_idx
    ON system_core.file_scan (business_id, file_version_id, scanned_at DESC);

ALTER TABLE system_core.file_scan ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_scan
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.file_scan TO app_user;
GRANT SELECT ON system_core.file_scan TO app_readonly;

-- With several engines a bad verdict outweighs a good one: it is applied first, and a file in
-- quarantine does not become clean by a scan alone.
CREATE FUNCTION system_core.apply_scan_verdict() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;

    INSERT INTO system_core.file_quarantine
        (business_id, file_object_id, file_scan_id, quarantined_at, reason)
    SELECT DISTINCT ON (v.business_id, v.file_object_id)
           v.business_id, v.file_object_id, n.file_scan_id, n.scanned_at,
           CASE n.verdict WHEN 'infected' THEN 'malware'
                          WHEN 'suspicious' THEN 'suspicious_macro'
                          ELSE 'encrypted_archive' END
    FROM new_rows AS n
    JOIN system_core.file_version AS v
        ON v.business_id = n.business_id AND v.file_version_id = n.file_version_id
    WHERE v.is_current AND n.verdict IN ('infected', 'suspicious', 'encrypted')
    ORDER BY v.business_id, v.file_object_id, n.verdict = 'infected' DESC, n.scanned_at
    ON CONFLICT (business_id, file_object_id) WHERE decision = 'pending' DO NOTHING;

    UPDATE system_core.file_object AS f
    SET scan_status = n.verdict
    FROM new_rows AS n
    JOIN system_core.file_version AS v
        ON v.business_id = n.business_id AND v.file_version_id = n.file_version_id
    WHERE f.business_id = v.business_id AND f.file_object_id = v.file_object_id AND v.is_current
        AND (n.verdict = 'clean' AND f.scan_status IN ('pending', 'error')
             OR n.verdict = 'error' AND f.scan_status = 'pending');
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.apply_scan_verdict() IS
    'Moves the file whose current version was scanned to clean, error or, through a new
     file_quarantine, quarantined; loaded history brings its own states.';

CREATE TRIGGER file_scan_touch
    BEFORE UPDATE ON system_core.file_scan
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER file_scan_added
    AFTER INSERT ON system_core.file_scan
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.apply_scan_verdict();


CREATE TABLE system_core.file_quarantine (
    business_id        uuid        NOT NULL,
    file_quarantine_id uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    file_object_id     uuid        NOT NULL,
    file_scan_id       uuid        NOT NULL,
    decided_by         uuid,
    reason             text        NOT NULL,
    decision           text        NOT NULL DEFAULT 'pending',
    decision_note      text,
    quarantined_at     timestamptz NOT NULL DEFAULT now(),
    decided_at         timestamptz,
    notified_owner_at  timestamptz,
    retention_until    date        NOT NULL DEFAULT current_date + 90,
    created_at         timestamptz NOT NULL DEFAULT now(),
    updated_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, file_quarantine_id),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, file_scan_id)
        REFERENCES system_core.file_scan (business_id, file_scan_id),
    FOREIGN KEY (business_id, decided_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT file_quarantine_reason_known
        CHECK (reason IN ('malware', 'suspicious_macro', 'encrypted_archive', 'policy_block')),
    CONSTRAINT file_quarantine_decision_known
        CHECK (decision IN ('pending', 'released', 'purged', 'kept_for_evidence')),
    CONSTRAINT file_quarantine_decided_by_somebody
        CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CONSTRAINT file_quarantine_pending_until_decided
        CHECK ((decision = 'pending') = (decided_at IS NULL)),
    CONSTRAINT file_quarantine_decided_afterwards CHECK (decided_at >= quarantined_at),
    CONSTRAINT file_quarantine_notified_afterwards CHECK (notified_owner_at >= quarantined_at)
);

COMMENT ON TABLE system_core.file_quarantine IS
    'A file withheld after a bad verdict until somebody releases or purges it.';
COMMENT ON COLUMN system_core.file_quarantine.retention_until IS
    'Day until which the bytes are kept for the decision; purged by a job afterwards.';

-- The administrator's list of undecided files; one open quarantine per file.
CREATE UNIQUE INDEX file_quarantine_open_idx
    ON system_core.file_quarantine (business_id, file_object_id)
    WHERE decision = 'pending';

-- The quarantine history of a file; FK file_object_id.
CREATE INDEX file_quarantine_file_idx
    ON system_core.file_quarantine (business_id, file_object_id, quarantined_at);

-- FK file_scan_id.
CREATE INDEX file_quarantine_scan_idx ON system_core.file_quarantine (business_id, file_scan_id);

-- FK decided_by.
CREATE INDEX file_quarantine_decider_idx
    ON system_core.file_quarantine (business_id, decided_by);

ALTER TABLE system_core.file_quarantine ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_quarantine
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.file_quarantine TO app_user;
GRANT SELECT ON system_core.file_quarantine TO app_readonly;

CREATE FUNCTION system_core.withhold_quarantined_files() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    step text[];
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;

    -- Whatever the file was, it takes the one road that the state machine has to quarantine.
    FOREACH step SLICE 1 IN ARRAY ARRAY[['skipped', 'pending'], ['pending', 'infected'],
                                        ['error', 'infected'], ['clean', 'infected'],
                                        ['infected', 'quarantined']] LOOP
        UPDATE system_core.file_object AS f
        SET scan_status = step[2]
        FROM new_rows AS n
        WHERE f.business_id = n.business_id AND f.file_object_id = n.file_object_id
            AND n.decision = 'pending' AND f.scan_status = step[1];
    END LOOP;

    UPDATE system_core.file_attachment AS a
    SET is_customer_visible = false
    FROM new_rows AS n
    WHERE a.business_id = n.business_id AND a.file_object_id = n.file_object_id
        AND a.is_customer_visible;

    UPDATE system_core.file_share_link AS k
    SET revoked_at = now()
    FROM new_rows AS n
    WHERE k.business_id = n.business_id AND k.file_object_id = n.file_object_id
        AND k.revoked_at IS NULL;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.withhold_quarantined_files() IS
    'A quarantined file is hidden from customers and outsiders at once.';

CREATE FUNCTION system_core.require_clean_rescan() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM system_core.file_scan AS bad
        JOIN system_core.file_version AS v
            ON v.business_id = bad.business_id AND v.file_object_id = NEW.file_object_id
        JOIN system_core.file_scan AS s
            ON s.business_id = v.business_id AND s.file_version_id = v.file_version_id
        WHERE bad.business_id = NEW.business_id AND bad.file_scan_id = NEW.file_scan_id
            AND v.is_current AND s.verdict = 'clean' AND s.scanned_at > bad.scanned_at
    ) THEN
        RAISE EXCEPTION 'file % cannot be released: no clean scan since it was quarantined',
                        NEW.file_object_id
            USING ERRCODE = 'check_violation', HINT = 'Scan its current version again.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.require_clean_rescan() IS
    'Only a later clean scan releases a file from quarantine.';

CREATE FUNCTION system_core.execute_quarantine_decision() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    UPDATE system_core.file_object AS f
    SET scan_status = CASE NEW.decision WHEN 'released' THEN 'clean' ELSE f.scan_status END,
        deleted_at  = CASE NEW.decision WHEN 'purged' THEN coalesce(f.deleted_at, now())
                                        ELSE f.deleted_at END
    WHERE f.business_id = NEW.business_id AND f.file_object_id = NEW.file_object_id
        AND f.scan_status = 'quarantined';
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.execute_quarantine_decision() IS
    'A released file is clean again, a purged one is deleted, which a legal hold refuses.';

CREATE TRIGGER file_quarantine_touch
    BEFORE UPDATE ON system_core.file_quarantine
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER file_quarantine_decision_machine
    BEFORE INSERT OR UPDATE OF decision ON system_core.file_quarantine
    FOR EACH ROW EXECUTE FUNCTION system_core.enforce_state_machine('decision', '{
        "initial": ["pending"],
        "transitions": {
            "pending":           ["released", "purged", "kept_for_evidence"],
            "kept_for_evidence": ["purged"],
            "released":          [],
            "purged":            []
        }}');

CREATE TRIGGER file_quarantine_release
    BEFORE UPDATE OF decision ON system_core.file_quarantine
    FOR EACH ROW WHEN (NEW.decision = 'released' AND OLD.decision <> 'released')
    EXECUTE FUNCTION system_core.require_clean_rescan();

CREATE TRIGGER file_quarantine_decided
    AFTER UPDATE OF decision ON system_core.file_quarantine
    FOR EACH ROW WHEN (NEW.decision IN ('released', 'purged') AND OLD.decision <> NEW.decision)
    EXECUTE FUNCTION system_core.execute_quarantine_decision();

CREATE TRIGGER file_quarantine_added
    AFTER INSERT ON system_core.file_quarantine
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.withhold_quarantined_files();


CREATE TABLE system_core.file_attachment (
    business_id         uuid        NOT NULL,
    file_attachment_id  uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    file_object_id      uuid        NOT NULL,
    entity_type_id      uuid        NOT NULL,
    entity_id           uuid        NOT NULL,
    attached_by         uuid,
    role                text        NOT NULL,
    caption             text,
    sort_order          integer     NOT NULL DEFAULT 0,
    is_customer_visible boolean     NOT NULL DEFAULT false,
    taken_at            timestamptz,
    latitude            system_core.latitude,
    longitude           system_core.longitude,
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, file_attachment_id),
    UNIQUE (business_id, file_object_id, entity_type_id, entity_id, role),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id),
    FOREIGN KEY (business_id, entity_type_id)
        REFERENCES system_core.entity_type (business_id, entity_type_id),
    FOREIGN KEY (business_id, attached_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT file_attachment_role_known
        CHECK (role IN ('photo_before', 'photo_after', 'document', 'signature', 'receipt',
                        'contract', 'avatar', 'media', 'evidence', 'other')),
    CONSTRAINT file_attachment_place_is_complete
        CHECK ((latitude IS NULL) = (longitude IS NULL))
);

COMMENT ON TABLE system_core.file_attachment IS
    'Ties a file to a record of any kind and says what it is there.';
COMMENT ON COLUMN system_core.file_attachment.entity_id IS
    'The record, in the table that entity_type names; no foreign key can follow it there.';
COMMENT ON COLUMN system_core.file_attachment.taken_at IS
    'When and, with latitude and longitude, where a photo was taken, as its camera says.';

-- record_timeline: the files of a record, newest first; FK entity_type_id.
CREATE INDEX file_attachment_record_idx
    ON system_core.file_attachment (business_id, entity_type_id, entity_id, created_at DESC);

-- FK attached_by.
CREATE INDEX file_attachment_author_idx
    ON system_core.file_attachment (business_id, attached_by);

ALTER TABLE system_core.file_attachment ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_attachment
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.file_attachment TO app_user;
GRANT SELECT ON system_core.file_attachment TO app_readonly;

CREATE FUNCTION system_core.refuse_unsafe_attachment() RETURNS trigger
    LANGUAGE plpgsql AS $$
DECLARE
    refused record;
BEGIN
    IF NOT row_security_active(TG_RELID) THEN
        RETURN NULL;
    END IF;

    SELECT f.file_object_id, f.scan_status INTO refused
    FROM new_rows AS n
    JOIN system_core.file_object AS f
        ON f.business_id = n.business_id AND f.file_object_id = n.file_object_id
    WHERE f.scan_status IN ('infected', 'quarantined')
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'file % is % and cannot be attached', refused.file_object_id,
                        refused.scan_status
            USING ERRCODE = 'check_violation';
    END IF;

    SELECT e.schema_name, e.table_name INTO refused
    FROM new_rows AS n
    JOIN system_core.entity_type AS e
        ON e.business_id = n.business_id AND e.entity_type_id = n.entity_type_id
    WHERE NOT e.is_attachable
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'records of %.% take no files', refused.schema_name, refused.table_name
            USING ERRCODE = 'check_violation', HINT = 'entity_type.is_attachable switches it on.';
    END IF;
    RETURN NULL;
END
$$;
COMMENT ON FUNCTION system_core.refuse_unsafe_attachment() IS
    'A file is attached only while it is not withheld, and to a kind of record that takes files.';

CREATE TRIGGER file_attachment_touch
    BEFORE UPDATE ON system_core.file_attachment
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER file_attachment_added
    AFTER INSERT ON system_core.file_attachment
    REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION system_core.refuse_unsafe_attachment();


CREATE TABLE system_core.file_share_link (
    business_id        uuid               NOT NULL,
    file_share_link_id uuid               NOT NULL DEFAULT system_core.uuid_v7(),
    file_object_id     uuid               NOT NULL,
    shared_by          uuid               NOT NULL,
    token_hash         system_core.sha256 NOT NULL,
    recipient_email    system_core.email,
    permission         text               NOT NULL DEFAULT 'view',
    password_hash      system_core.sha256,
    max_downloads      integer,
    download_count     integer            NOT NULL DEFAULT 0,
    expires_at         timestamptz        NOT NULL,
    revoked_at         timestamptz,
    last_accessed_at   timestamptz,
    created_at         timestamptz        NOT NULL DEFAULT now(),
    updated_at         timestamptz        NOT NULL DEFAULT now(),
    PRIMARY KEY (business_id, file_share_link_id),
    UNIQUE (business_id, token_hash),
    FOREIGN KEY (business_id, file_object_id)
        REFERENCES system_core.file_object (business_id, file_object_id) ON DELETE CASCADE,
    FOREIGN KEY (business_id, shared_by)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT file_share_link_permission_known
        CHECK (permission IN ('view', 'download', 'upload_new_version')),
    CONSTRAINT file_share_link_allows_a_download CHECK (max_downloads > 0),
    CONSTRAINT file_share_link_downloads_not_negative CHECK (download_count >= 0),
    CONSTRAINT file_share_link_within_downloads CHECK (download_count <= max_downloads),
    CONSTRAINT file_share_link_expires_after_creation CHECK (expires_at > created_at),
    CONSTRAINT file_share_link_revoked_after_creation CHECK (revoked_at >= created_at),
    CONSTRAINT file_share_link_opened_before_expiry
        CHECK (last_accessed_at BETWEEN created_at AND expires_at)
);

COMMENT ON TABLE system_core.file_share_link IS
    'An expiring link by which an outsider fetches a file.';
COMMENT ON COLUMN system_core.file_share_link.token_hash IS
    'Of the secret in the link, which is not kept.';
COMMENT ON COLUMN system_core.file_share_link.max_downloads IS 'NULL: as often as they like.';

-- The links of a file, to show and to revoke them; FK file_object_id.
CREATE INDEX file_share_link_file_idx
    ON system_core.file_share_link (business_id, file_object_id);

-- FK shared_by.
CREATE INDEX file_share_link_author_idx
    ON system_core.file_share_link (business_id, shared_by);

ALTER TABLE system_core.file_share_link ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_share_link
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT, UPDATE, DELETE ON system_core.file_share_link TO app_user;
GRANT SELECT ON system_core.file_share_link TO app_readonly;

-- The lock keeps the file's classification as it is until the link is visible to others.
CREATE FUNCTION system_core.refuse_restricted_link() RETURNS trigger
    LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM system_core.file_object AS f
    WHERE f.business_id = NEW.business_id AND f.file_object_id = NEW.file_object_id
        AND f.classification = 'restricted'
    FOR SHARE;
    IF FOUND THEN
        RAISE EXCEPTION 'file % is restricted and cannot be shared by a link', NEW.file_object_id
            USING ERRCODE = 'check_violation', HINT = 'Only a revoked link may refer to it.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION system_core.refuse_restricted_link() IS
    'No open link leads to a restricted file.';

CREATE TRIGGER file_share_link_touch
    BEFORE UPDATE ON system_core.file_share_link
    FOR EACH ROW EXECUTE FUNCTION system_core.touch();

CREATE TRIGGER file_share_link_unrestricted
    BEFORE INSERT OR UPDATE OF file_object_id, revoked_at ON system_core.file_share_link
    FOR EACH ROW WHEN (NEW.revoked_at IS NULL)
    EXECUTE FUNCTION system_core.refuse_restricted_link();


CREATE TABLE system_core.file_access_log (
    business_id           uuid        NOT NULL,
    file_access_log_id    uuid        NOT NULL DEFAULT system_core.uuid_v7(),
    accessed_at           timestamptz NOT NULL DEFAULT clock_timestamp(),
    file_object_key       uuid        NOT NULL,
    actor_user_account_id uuid,
    action                text        NOT NULL,
    access_path           text        NOT NULL,
    ip_address            inet,
    user_agent            text,
    bytes_sent            bigint      NOT NULL DEFAULT 0,
    denial_reason         text,
    request_id            text,
    PRIMARY KEY (business_id, file_access_log_id, accessed_at),
    FOREIGN KEY (business_id) REFERENCES tenant_mgmt.business (business_id),
    FOREIGN KEY (business_id, actor_user_account_id)
        REFERENCES user_mgmt.user_account (business_id, user_account_id),
    CONSTRAINT file_access_log_action_known
        CHECK (action IN ('preview', 'download', 'share_download', 'denied', 'delete',
                          'restore')),
    CONSTRAINT file_access_log_path_known
        CHECK (access_path IN ('app', 'share_link', 'api', 'export')),
    CONSTRAINT file_access_log_denial_has_reason
        CHECK ((action = 'denied') = (denial_reason IS NOT NULL)),
    CONSTRAINT file_access_log_bytes_not_negative CHECK (bytes_sent >= 0),
    CONSTRAINT file_access_log_denial_sends_nothing CHECK (action <> 'denied' OR bytes_sent = 0)
) PARTITION BY RANGE (accessed_at);

COMMENT ON TABLE system_core.file_access_log IS
    'Every preview, download, denial, deletion and restoration of a file.';
COMMENT ON COLUMN system_core.file_access_log.file_object_key IS
    'The file; no foreign key, for the log outlives it.';

-- Who opened this file, newest first.
CREATE INDEX file_access_log_file_idx
    ON system_core.file_access_log (business_id, file_object_key, accessed_at DESC);

-- What did this user open; FK actor_user_account_id.
CREATE INDEX file_access_log_actor_idx
    ON system_core.file_access_log (business_id, actor_user_account_id, accessed_at DESC);

ALTER TABLE system_core.file_access_log ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_access_log
    USING (business_id = tenant_mgmt.current_business_id());
GRANT SELECT, INSERT ON system_core.file_access_log TO app_user;
GRANT SELECT ON system_core.file_access_log TO app_readonly;

CREATE TABLE system_core.file_access_log_default
    PARTITION OF system_core.file_access_log DEFAULT;
ALTER TABLE system_core.file_access_log_default
    ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant_isolation ON system_core.file_access_log_default
    USING (business_id = tenant_mgmt.current_business_id());
SELECT system_core.create_partitions('system_core.file_access_log', 'month',
                                     behind => 13, ahead => 3);

CREATE TRIGGER file_access_log_append_only
    BEFORE UPDATE OR DELETE ON system_core.file_access_log
    FOR EACH ROW EXECUTE FUNCTION system_core.refuse_change('system_core.file_access_log');


-- What an application calls.

CREATE FUNCTION system_core.register_scan_result(
    scanned_version_id uuid,
    scan_verdict       text,
    threat             text DEFAULT NULL,
    scan_engine        text DEFAULT 'clamav',
    engine_release     text DEFAULT 'unknown',
    signatures         text DEFAULT 'unknown',
    duration_ms        numeric DEFAULT 0
) RETURNS text
    LANGUAGE plpgsql AS $$
DECLARE
    tenant  CONSTANT uuid := tenant_mgmt.current_business_id();
    scanned system_core.file_version;
    file    system_core.file_object;
    opened  uuid;
BEGIN
    SELECT v.* INTO scanned
    FROM system_core.file_version AS v
    WHERE v.business_id = tenant AND v.file_version_id = scanned_version_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no file version %', scanned_version_id
            USING ERRCODE = 'no_data_found';
    END IF;

    INSERT INTO system_core.file_scan
        (business_id, file_version_id, engine, engine_version, signature_version, verdict,
         threat_name, severity, scanned_at, scan_ms, is_rescan)
    SELECT tenant, scanned_version_id, scan_engine, engine_release, signatures, scan_verdict,
           threat,
           CASE scan_verdict WHEN 'infected' THEN 'critical' WHEN 'suspicious' THEN 'medium'
                             WHEN 'encrypted' THEN 'low' ELSE 'none' END,
           clock_timestamp(), duration_ms,
           EXISTS (SELECT FROM system_core.file_scan AS s
                   WHERE s.business_id = tenant AND s.file_version_id = scanned_version_id);

    SELECT f.* INTO file
    FROM system_core.file_object AS f
    WHERE f.business_id = tenant AND f.file_object_id = scanned.file_object_id;

    -- The uploader hears of it once, where the tenant has worded the message and unless they
    -- declined it.
    SELECT q.file_quarantine_id INTO opened
    FROM system_core.file_quarantine AS q
    WHERE q.business_id = tenant AND q.file_object_id = file.file_object_id
        AND q.decision = 'pending' AND q.notified_owner_at IS NULL
        AND file.uploaded_by IS NOT NULL
        AND EXISTS (SELECT FROM system_core.notification_template AS t
                    WHERE t.business_id = tenant AND t.code = 'file_quarantined'
                        AND t.status = 'active');
    IF FOUND AND system_core.dispatch_notification(
            'file_quarantined', file.uploaded_by,
            jsonb_build_object('file_name', file.file_name, 'verdict', scan_verdict,
                               'threat', threat),
            'system_core', 'file_object', file.file_object_id) IS NOT NULL THEN
        UPDATE system_core.file_quarantine AS q
        SET notified_owner_at = clock_timestamp()
        WHERE q.business_id = tenant AND q.file_quarantine_id = opened;
    END IF;
    RETURN file.scan_status;
END
$$;
COMMENT ON FUNCTION system_core.register_scan_result(uuid, text, text, text, text, text, numeric)
    IS 'Stores the verdict on a file version of the current tenant, moves the file to clean or
     to quarantine, tells its uploader of a quarantine and returns the file''s scan status.';


CREATE FUNCTION system_core.attach_file(
    attached_file_id uuid,
    entity_schema    text,
    entity_table     text,
    record_id        uuid,
    attachment_role  text,
    attached_by_id   uuid DEFAULT NULL
) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    tenant CONSTANT uuid := tenant_mgmt.current_business_id();
    file   record;
    kind   uuid;
    result uuid;
BEGIN
    SELECT f.scan_status, f.deleted_at, l.used_bytes >= l.quota_bytes AS is_full INTO file
    FROM system_core.file_object AS f
    JOIN system_core.storage_location AS l
        ON l.business_id = f.business_id AND l.storage_location_id = f.storage_location_id
    WHERE f.business_id = tenant AND f.file_object_id = attached_file_id;
    IF NOT FOUND OR file.deleted_at IS NOT NULL THEN
        RAISE EXCEPTION 'there is no file %', attached_file_id USING ERRCODE = 'no_data_found';
    ELSIF file.scan_status NOT IN ('clean', 'pending', 'skipped') THEN
        RAISE EXCEPTION 'file % cannot be attached: its scan says %', attached_file_id,
                        file.scan_status
            USING ERRCODE = 'check_violation';
    ELSIF file.is_full THEN
        RAISE EXCEPTION 'file % cannot be attached: its storage is full', attached_file_id
            USING ERRCODE = 'disk_full', HINT = 'Delete files or raise the quota.';
    END IF;

    SELECT e.entity_type_id INTO kind
    FROM system_core.entity_type AS e
    WHERE e.business_id = tenant AND e.schema_name = entity_schema
        AND e.table_name = entity_table;
    IF NOT FOUND THEN
        RAISE EXCEPTION '%.% is not a registered kind of record', entity_schema, entity_table
            USING ERRCODE = 'no_data_found', HINT = 'Register it in system_core.entity_type.';
    END IF;

    INSERT INTO system_core.file_attachment
        (business_id, file_object_id, entity_type_id, entity_id, role, attached_by, sort_order)
    SELECT tenant, attached_file_id, kind, record_id, attachment_role,
           coalesce(attached_by_id,
                    nullif(current_setting('app.user_account_id', true), '')::uuid),
           coalesce(max(a.sort_order) + 1, 0)
    FROM system_core.file_attachment AS a
    WHERE a.business_id = tenant AND a.entity_type_id = kind AND a.entity_id = record_id
    ON CONFLICT (business_id, file_object_id, entity_type_id, entity_id, role) DO NOTHING
    RETURNING file_attachment_id INTO result;

    IF result IS NULL THEN
        SELECT a.file_attachment_id INTO STRICT result
        FROM system_core.file_attachment AS a
        WHERE a.business_id = tenant AND a.file_object_id = attached_file_id
            AND a.entity_type_id = kind AND a.entity_id = record_id
            AND a.role = attachment_role;
    END IF;
    RETURN result;
END
$$;
COMMENT ON FUNCTION system_core.attach_file(uuid, text, text, uuid, text, uuid) IS
    'Ties a file of the current tenant to a record, behind those already there, and returns the
     attachment; the same one when called again. A file still being scanned may be attached,
     one with a bad or failed scan may not, nor any file of a storage location that is full.';


-- What the screens read.

CREATE VIEW system_core.v_file_health WITH (security_invoker = true) AS
SELECT f.business_id,
       CASE f.scan_status WHEN 'pending' THEN 'scan_overdue' WHEN 'error' THEN 'scan_failed'
                          ELSE f.scan_status END AS problem,
       f.file_object_id,
       f.storage_location_id,
       f.file_name AS subject,
       coalesce(q.quarantined_at, f.uploaded_at) AS since
FROM system_core.file_object AS f
LEFT JOIN system_core.file_quarantine AS q
    ON q.business_id = f.business_id AND q.file_object_id = f.file_object_id
    AND q.decision = 'pending'
WHERE f.scan_status IN ('pending', 'infected', 'quarantined', 'error')
    AND f.deleted_at IS NULL
    AND (f.scan_status <> 'pending' OR f.uploaded_at < now() - interval '10 minutes')
UNION ALL
SELECT l.business_id, 'quota_reached', NULL, l.storage_location_id, l.name, l.updated_at
FROM system_core.storage_location AS l
WHERE l.used_bytes >= 0.95 * l.quota_bytes;
COMMENT ON VIEW system_core.v_file_health IS
    'What an administrator has to look at: files whose scan is overdue, failed or found
     something, and storage that has used 95 % of its quota (more than all cannot happen).';
GRANT SELECT ON system_core.v_file_health TO app_user, app_readonly;


CREATE MATERIALIZED VIEW system_core.mv_storage_usage AS
SELECT f.business_id,
       f.classification,
       f.file_folder_id,
       date_trunc('month', f.uploaded_at AT TIME ZONE 'UTC')::date AS usage_month,
       count(*)                   AS file_count,
       sum(f.size_bytes)::bigint  AS total_bytes,
       max(f.size_bytes)          AS largest_file_bytes,
       count(*) FILTER (WHERE f.is_legal_hold) AS held_file_count
FROM system_core.file_object AS f
WHERE f.deleted_at IS NULL
GROUP BY f.business_id, f.classification, f.file_folder_id, usage_month
WITH NO DATA;
COMMENT ON MATERIALIZED VIEW system_core.mv_storage_usage IS
    'Bytes and files per classification, folder (NULL: in none) and month of upload (UTC).';

-- REFRESH … CONCURRENTLY; the storage screen reads one tenant.
CREATE UNIQUE INDEX mv_storage_usage_key_idx
    ON system_core.mv_storage_usage
    (business_id, usage_month, classification, file_folder_id) NULLS NOT DISTINCT;

CREATE VIEW system_core.v_storage_usage WITH (security_barrier = true) AS
SELECT business_id, classification, file_folder_id, usage_month, file_count, total_bytes,
       largest_file_bytes, held_file_count
FROM system_core.mv_storage_usage
WHERE business_id = tenant_mgmt.current_business_id();
COMMENT ON VIEW system_core.v_storage_usage IS
    'mv_storage_usage of the current tenant.';
GRANT SELECT ON system_core.v_storage_usage TO app_user, app_readonly;
