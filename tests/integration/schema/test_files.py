"""Files: folders, versions, scans, quarantine, legal hold, attachments, share links, quota."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors

from harness.db import Connection


@pytest.fixture
def location(app: Connection, tenant: UUID) -> UUID:
    """The tenant's storage of 1,000 bytes."""
    return storage(app, tenant)


@pytest.fixture
def kind(app: Connection, tenant: UUID) -> UUID:
    """A kind of record that takes files."""
    return entity_type(app, tenant, "user_account")


def one(connection: Connection, query: str, *values: Any) -> Any:
    """The single value of a query's single row."""
    row = connection.execute(query.encode(), values).fetchone()
    assert row
    return row[0]


def new(connection: Connection, query: str, *values: Any) -> UUID:
    """The key of a row that was inserted."""
    key = one(connection, query, *values)
    assert isinstance(key, UUID)
    return key


def storage(connection: Connection, tenant: UUID) -> UUID:
    """A storage location of 1,000 bytes."""
    return new(
        connection,
        "INSERT INTO system_core.storage_location (business_id, name, provider, bucket,"
        " region_code, encryption_key_ref, quota_bytes, is_default)"
        " VALUES (%s, 'main', 's3', 'b', 'us-east-1', 'vault:keys/1', 1000, true)"
        " RETURNING storage_location_id",
        tenant,
    )


def entity_type(connection: Connection, tenant: UUID, table: str) -> UUID:
    """Registers a table of user_mgmt as a kind of record."""
    return new(
        connection,
        "INSERT INTO system_core.entity_type (business_id, schema_name, table_name, display_name,"
        " plural_name, label_template, is_taggable, is_commentable, is_attachable, is_searchable)"
        " VALUES (%s, 'user_mgmt', %s, 'Account', 'Accounts', '{display_name}', true, true, true,"
        " true) RETURNING entity_type_id",
        tenant,
        table,
    )


def folder(app: Connection, tenant: UUID, name: str, parent: UUID | None = None) -> UUID:
    """A folder, at the root or in another one."""
    return new(
        app,
        "INSERT INTO system_core.file_folder (business_id, name, parent_file_folder_id)"
        " VALUES (%s, %s, %s) RETURNING file_folder_id",
        tenant,
        name,
        parent,
    )


def file(app: Connection, tenant: UUID, location: UUID, **columns: Any) -> UUID:
    """A file of 100 bytes with its first version."""
    values: dict[str, Any] = {
        "file_name": "scan.PDF",
        "size_bytes": 100,
        "storage_key": str(uuid4()),
        "classification": "internal",
        "file_folder_id": None,
        "uploaded_by": None,
        "is_legal_hold": False,
    } | columns
    made = new(
        app,
        "INSERT INTO system_core.file_object (business_id, storage_location_id, media_type,"
        f" sha256, {', '.join(values)}) VALUES (%s, %s, 'application/pdf', sha256('1'),"
        f" {', '.join(['%s'] * len(values))}) RETURNING file_object_id",
        tenant,
        location,
        *values.values(),
    )
    version(app, tenant, made, 1, size=values["size_bytes"])
    return made


def version(app: Connection, tenant: UUID, of: UUID, number: int, size: int = 100) -> UUID:
    """Publishes a version whose content is its number."""
    return new(
        app,
        "INSERT INTO system_core.file_version (business_id, file_object_id, version_no,"
        " size_bytes, sha256, storage_key) VALUES (%s, %s, %s, %s, sha256(%s), %s)"
        " RETURNING file_version_id",
        tenant,
        of,
        number,
        size,
        str(number).encode(),
        str(uuid4()),
    )


def scan(app: Connection, of: UUID, verdict: str, threat: str | None = None) -> str:
    """Registers the verdict on the current version of a file."""
    call = (
        "SELECT system_core.register_scan_result(file_version_id, %s, %s)"
        " FROM system_core.file_version WHERE file_object_id = %s AND is_current"
    )
    return str(one(app, call, verdict, threat, of))


def attach(app: Connection, of: UUID, record: UUID, table: str = "user_account") -> UUID:
    """Attaches a file as a document."""
    call = "SELECT system_core.attach_file(%s, 'user_mgmt', %s, %s, 'document')"
    return new(app, call, of, table, record)


def share(app: Connection, tenant: UUID, of: UUID, by: UUID) -> UUID:
    """An open link to a file."""
    return new(
        app,
        "INSERT INTO system_core.file_share_link (business_id, file_object_id, shared_by,"
        " token_hash, expires_at) VALUES (%s, %s, %s, sha256('t'), now() + interval '1 day')"
        " RETURNING file_share_link_id",
        tenant,
        of,
        by,
    )


def decide(app: Connection, of: UUID, by: UUID, decision: str) -> None:
    """Decides about the open quarantine of a file."""
    app.execute(
        "UPDATE system_core.file_quarantine SET decision = %s, decided_by = %s,"
        " decided_at = clock_timestamp() WHERE file_object_id = %s AND decision <> 'released'",
        [decision, by, of],
    )


def state(app: Connection, of: UUID) -> str:
    """The scan status of a file."""
    query = "SELECT scan_status FROM system_core.file_object WHERE file_object_id = %s"
    return str(one(app, query, of))


def used(app: Connection) -> int:
    """Bytes that the location believes to hold."""
    return int(one(app, "SELECT used_bytes FROM system_core.storage_location"))


def paths(app: Connection) -> list[tuple[str, int]]:
    """Paths and depths of all folders."""
    query = "SELECT path, depth FROM system_core.file_folder ORDER BY path"
    return app.execute(query).fetchall()


def test_folder_knows_its_path(app: Connection, tenant: UUID) -> None:
    folder(app, tenant, "2026", folder(app, tenant, "Contracts"))
    assert paths(app) == [("/Contracts", 0), ("/Contracts/2026", 1)]


def test_renamed_and_moved_folder_carries_its_subfolders(app: Connection, tenant: UUID) -> None:
    a = folder(app, tenant, "a")
    b = folder(app, tenant, "b", a)
    folder(app, tenant, "c", b)
    archive = folder(app, tenant, "archive")
    app.execute(
        "UPDATE system_core.file_folder SET name = 'x', parent_file_folder_id = %s"
        " WHERE file_folder_id = %s",
        [archive, b],
    )
    assert paths(app) == [("/a", 0), ("/archive", 0), ("/archive/x", 1), ("/archive/x/c", 2)]


def test_folder_never_becomes_its_own_ancestor(app: Connection, tenant: UUID) -> None:
    a = folder(app, tenant, "a")
    c = folder(app, tenant, "c", folder(app, tenant, "b", a))
    with pytest.raises(errors.CheckViolation, match="/a cannot move into /a/b/c"):
        app.execute(
            "UPDATE system_core.file_folder SET parent_file_folder_id=%s WHERE file_folder_id=%s",
            [c, a],
        )


def test_folder_tree_ends_at_depth_12(app: Connection, tenant: UUID) -> None:
    parent = folder(app, tenant, "0")
    for depth in range(1, 13):
        parent = folder(app, tenant, str(depth), parent)
    with pytest.raises(errors.CheckViolation, match="depth_in_range"):
        folder(app, tenant, "13", parent)


def test_two_root_folders_of_one_name_are_refused(app: Connection, tenant: UUID) -> None:
    folder(app, tenant, "a")
    with pytest.raises(errors.UniqueViolation):
        folder(app, tenant, "a")


def test_extension_comes_from_the_name(app: Connection, tenant: UUID, location: UUID) -> None:
    file(app, tenant, location, file_name="Invoice.2026.PDF")
    file(app, tenant, location, file_name="README")
    query = "SELECT extension FROM system_core.file_object ORDER BY file_name"
    assert [e for (e,) in app.execute(query)] == ["pdf", None]


def test_bytes_and_items_follow_the_files(app: Connection, tenant: UUID, location: UUID) -> None:
    here, there = folder(app, tenant, "here"), folder(app, tenant, "there")
    kept = file(app, tenant, location, size_bytes=300, file_folder_id=here)
    moved = file(app, tenant, location, size_bytes=200, file_folder_id=here)
    assert used(app) == 500

    update = "UPDATE system_core.file_object SET {} WHERE file_object_id = %s"
    app.execute(update.format("deleted_at = now()").encode(), [kept])
    app.execute(update.format("file_folder_id = %s").encode(), [there, moved])
    counts = "SELECT name, item_count FROM system_core.file_folder ORDER BY name"
    assert app.execute(counts).fetchall() == [("here", 0), ("there", 1)]
    assert used(app) == 200

    app.execute("DELETE FROM system_core.file_object WHERE file_object_id = %s", [moved])
    assert used(app) == 0


def test_upload_up_to_the_quota_fits_and_beyond_it_fails(
    app: Connection, tenant: UUID, location: UUID
) -> None:
    file(app, tenant, location, size_bytes=1000)
    with pytest.raises(errors.CheckViolation, match="within_quota"):
        file(app, tenant, location, size_bytes=1)


def test_held_file_is_neither_trashed_nor_deleted_nor_purged(
    app: Connection, tenant: UUID, location: UUID
) -> None:
    held = file(app, tenant, location, is_legal_hold=True)
    version(app, tenant, held, 2)
    for attempt, error in {
        "UPDATE system_core.file_object SET deleted_at = now()": errors.CheckViolation,
        "DELETE FROM system_core.file_object": errors.RestrictViolation,
        "DELETE FROM system_core.file_version": errors.RestrictViolation,
        "UPDATE system_core.file_version SET purged_at = now() WHERE version_no = 1": (
            errors.RestrictViolation
        ),
    }.items():
        with pytest.raises(error), app.transaction():
            app.execute(attempt.encode())


def test_new_version_replaces_the_content_and_waits_for_a_scan(
    app: Connection, tenant: UUID, location: UUID
) -> None:
    paper = file(app, tenant, location)
    assert scan(app, paper, "clean") == "clean"
    version(app, tenant, paper, 2, size=700)
    row = app.execute(
        "SELECT f.current_version_no, f.size_bytes, f.scan_status, f.sha256 = sha256('2')"
        " FROM system_core.file_object AS f"
    ).fetchone()
    assert row == (2, 700, "pending", True)
    assert used(app) == 700


def test_restored_version_becomes_the_content_again(
    app: Connection, tenant: UUID, location: UUID
) -> None:
    paper = file(app, tenant, location)
    version(app, tenant, paper, 2)
    app.execute("UPDATE system_core.file_version SET is_current = true WHERE version_no = 1")
    assert one(app, "SELECT current_version_no FROM system_core.file_object") == 1
    assert one(app, "SELECT count(*) FROM system_core.file_version WHERE is_current") == 1


def test_purged_version_is_not_current(app: Connection, tenant: UUID, location: UUID) -> None:
    file(app, tenant, location)
    with pytest.raises(errors.CheckViolation, match="purged_is_not_current"):
        app.execute("UPDATE system_core.file_version SET purged_at = now()")


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        ("infected", "malware"),
        ("suspicious", "suspicious_macro"),
        ("encrypted", "encrypted_archive"),
    ],
)
def test_bad_verdict_quarantines_the_file(
    app: Connection, tenant: UUID, location: UUID, verdict: str, reason: str
) -> None:
    paper = file(app, tenant, location)
    assert scan(app, paper, verdict, "Eicar") == "quarantined"
    assert one(app, "SELECT reason FROM system_core.file_quarantine") == reason


def test_failed_scan_leaves_a_clean_file_clean(
    app: Connection, tenant: UUID, location: UUID
) -> None:
    paper = file(app, tenant, location)
    assert scan(app, paper, "error") == "error"
    assert scan(app, paper, "clean") == "clean"
    assert scan(app, paper, "error") == "clean"


def test_infected_scan_names_its_threat(app: Connection, tenant: UUID, location: UUID) -> None:
    paper = file(app, tenant, location)
    with pytest.raises(errors.CheckViolation, match="infected_names_threat"):
        scan(app, paper, "infected")


def test_second_bad_verdict_opens_no_second_quarantine(
    app: Connection, tenant: UUID, location: UUID
) -> None:
    paper = file(app, tenant, location)
    scan(app, paper, "infected", "Eicar")
    assert scan(app, paper, "suspicious") == "quarantined"
    assert scan(app, paper, "clean") == "quarantined"
    assert one(app, "SELECT count(*) FROM system_core.file_quarantine") == 1


def test_uploader_hears_of_a_quarantine_once(
    admin: Connection, tenant: UUID, account: UUID
) -> None:
    admin.execute(
        "WITH c AS (INSERT INTO system_core.notification_category (business_id, code, name,"
        " legal_basis, default_channels) VALUES (%s, 'files', 'Files', 'security', '{in_app}')"
        " RETURNING *) INSERT INTO system_core.notification_template (business_id,"
        " notification_category_id, code, name, status, activated_at) SELECT business_id,"
        " notification_category_id, 'file_quarantined', 'Quarantined', 'active', now() FROM c",
        [tenant],
    )
    admin.execute("SET LOCAL ROLE app_user")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    paper = file(admin, tenant, storage(admin, tenant), uploaded_by=account)
    scan(admin, paper, "infected", "Eicar")
    scan(admin, paper, "infected", "Eicar")
    told = admin.execute("SELECT recipient_user_account_id FROM system_core.notification")
    assert told.fetchall() == [(account,)]
    assert one(admin, "SELECT notified_owner_at IS NOT NULL FROM system_core.file_quarantine")


def test_unknown_version_is_refused(app: Connection) -> None:
    with pytest.raises(errors.NoDataFound):
        app.execute("SELECT system_core.register_scan_result(%s, 'clean')", [uuid4()])


def test_quarantine_hides_attachments_and_revokes_links(
    account: UUID, app: Connection, tenant: UUID, location: UUID, kind: UUID
) -> None:
    paper = file(app, tenant, location)
    scan(app, paper, "clean")
    attach(app, paper, account)
    app.execute("UPDATE system_core.file_attachment SET is_customer_visible = true")
    share(app, tenant, paper, account)
    scan(app, paper, "infected", "Eicar")
    assert not one(app, "SELECT is_customer_visible FROM system_core.file_attachment")
    assert one(app, "SELECT revoked_at IS NOT NULL FROM system_core.file_share_link")


def test_release_needs_a_later_clean_scan(
    account: UUID, app: Connection, tenant: UUID, location: UUID
) -> None:
    paper = file(app, tenant, location)
    scan(app, paper, "clean")
    scan(app, paper, "infected", "Eicar")
    with pytest.raises(errors.CheckViolation, match="no clean scan"), app.transaction():
        decide(app, paper, account, "released")
    scan(app, paper, "clean")
    decide(app, paper, account, "released")
    assert state(app, paper) == "clean"


def test_purged_file_is_deleted_unless_held(
    account: UUID, app: Connection, tenant: UUID, location: UUID
) -> None:
    paper = file(app, tenant, location)
    scan(app, paper, "infected", "Eicar")
    app.execute("UPDATE system_core.file_object SET is_legal_hold = true")
    with pytest.raises(errors.CheckViolation, match="held_is_not_deleted"), app.transaction():
        decide(app, paper, account, "purged")
    decide(app, paper, account, "kept_for_evidence")
    app.execute("UPDATE system_core.file_object SET is_legal_hold = false")
    decide(app, paper, account, "purged")
    assert one(app, "SELECT deleted_at IS NOT NULL FROM system_core.file_object")
    assert used(app) == 0


def test_quarantined_file_takes_no_new_version(
    app: Connection, tenant: UUID, location: UUID
) -> None:
    paper = file(app, tenant, location)
    scan(app, paper, "infected", "Eicar")
    with pytest.raises(errors.CheckViolation, match="quarantined cannot become pending"):
        version(app, tenant, paper, 2)


def test_attaching_twice_gives_the_same_attachment(
    account: UUID, app: Connection, tenant: UUID, location: UUID, kind: UUID
) -> None:
    first, second = file(app, tenant, location), file(app, tenant, location)
    assert attach(app, first, account) == attach(app, first, account)
    attach(app, second, account)
    orders = "SELECT sort_order FROM system_core.file_attachment ORDER BY 1"
    assert [o for (o,) in app.execute(orders)] == [0, 1]


def test_attaching_a_bad_or_missing_file_is_refused(
    account: UUID, app: Connection, tenant: UUID, location: UUID, kind: UUID
) -> None:
    paper = file(app, tenant, location)
    scan(app, paper, "infected", "Eicar")
    with pytest.raises(errors.CheckViolation, match="quarantined"), app.transaction():
        attach(app, paper, account)
    with pytest.raises(errors.CheckViolation, match="quarantined"), app.transaction():
        app.execute(
            "INSERT INTO system_core.file_attachment (business_id, file_object_id,"
            " entity_type_id, entity_id, role) VALUES (%s, %s, %s, %s, 'document')",
            [tenant, paper, kind, account],
        )
    with pytest.raises(errors.NoDataFound), app.transaction():
        attach(app, uuid4(), account)


def test_attaching_to_a_kind_that_takes_no_files_is_refused(
    account: UUID, app: Connection, tenant: UUID, location: UUID, kind: UUID
) -> None:
    paper = file(app, tenant, location)
    app.execute("UPDATE system_core.entity_type SET is_attachable = false")
    with pytest.raises(errors.CheckViolation, match="take no files"), app.transaction():
        attach(app, paper, account)
    with pytest.raises(errors.NoDataFound, match="not a registered kind"):
        attach(app, paper, account, table="nothing")


def test_attaching_from_full_storage_is_refused(
    account: UUID, app: Connection, tenant: UUID, location: UUID, kind: UUID
) -> None:
    paper = file(app, tenant, location, size_bytes=1000)
    with pytest.raises(errors.DiskFull):
        attach(app, paper, account)


def test_restricted_file_is_not_shared(
    account: UUID, app: Connection, tenant: UUID, location: UUID
) -> None:
    secret = file(app, tenant, location, classification="restricted")
    with pytest.raises(errors.CheckViolation, match="restricted"):
        share(app, tenant, secret, account)


def test_file_that_becomes_restricted_loses_its_links(
    account: UUID, app: Connection, tenant: UUID, location: UUID
) -> None:
    share(app, tenant, file(app, tenant, location), account)
    app.execute("UPDATE system_core.file_object SET classification = 'restricted'")
    assert one(app, "SELECT revoked_at IS NOT NULL FROM system_core.file_share_link")
    with pytest.raises(errors.CheckViolation, match="restricted"):
        app.execute("UPDATE system_core.file_share_link SET revoked_at = NULL")


def test_link_ends_with_its_last_download(
    account: UUID, app: Connection, tenant: UUID, location: UUID
) -> None:
    share(app, tenant, file(app, tenant, location), account)
    app.execute("UPDATE system_core.file_share_link SET max_downloads = 1, download_count = 1")
    with pytest.raises(errors.CheckViolation, match="within_downloads"):
        app.execute("UPDATE system_core.file_share_link SET download_count = 2")


def test_access_log_is_append_only(admin: Connection, tenant: UUID) -> None:
    admin.execute(
        "INSERT INTO system_core.file_access_log (business_id, file_object_key, action,"
        " access_path) VALUES (%s, %s, 'preview', 'app')",
        [tenant, uuid4()],
    )
    with pytest.raises(errors.RestrictViolation):
        admin.execute("DELETE FROM system_core.file_access_log")


def test_denied_access_has_a_reason(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="denial_has_reason"):
        app.execute(
            "INSERT INTO system_core.file_access_log (business_id, file_object_key, action,"
            " access_path) VALUES (%s, %s, 'denied', 'api')",
            [tenant, uuid4()],
        )


def test_health_lists_what_needs_a_look(
    account: UUID, app: Connection, tenant: UUID, location: UUID
) -> None:
    late = file(app, tenant, location, file_name="late", size_bytes=850)
    file(app, tenant, location, file_name="fresh")
    bad = file(app, tenant, location, file_name="bad", size_bytes=0)
    fine = file(app, tenant, location, file_name="fine", size_bytes=0)
    app.execute(
        "UPDATE system_core.file_object SET uploaded_at = now() - interval '11 minutes'"
        " WHERE file_object_id = %s",
        [late],
    )
    scan(app, bad, "infected", "Eicar")
    scan(app, fine, "clean")
    found = app.execute("SELECT problem, subject FROM system_core.v_file_health ORDER BY 1")
    assert found.fetchall() == [
        ("quarantined", "bad"),
        ("quota_reached", "main"),
        ("scan_overdue", "late"),
    ]


def test_history_is_loaded_in_any_state(admin: Connection, tenant: UUID, account: UUID) -> None:
    """What the loader brings keeps its states, while bytes and counts are kept for it too."""
    store = storage(admin, tenant)
    paper = one(
        admin,
        "INSERT INTO system_core.file_object (business_id, storage_location_id, file_name,"
        " media_type, size_bytes, sha256, storage_key, scan_status)"
        " VALUES (%s, %s, 'a.pdf', 'application/pdf', 100, sha256('1'), 'k', 'quarantined')"
        " RETURNING file_object_id",
        tenant,
        store,
    )
    current = version(admin, tenant, paper, 3)
    scan_id = one(
        admin,
        "INSERT INTO system_core.file_scan (business_id, file_version_id, engine, engine_version,"
        " signature_version, verdict, scan_ms) VALUES (%s, %s, 'yara', '1', '1', 'clean', 1)"
        " RETURNING file_scan_id",
        tenant,
        current,
    )
    admin.execute(
        "INSERT INTO system_core.file_quarantine (business_id, file_object_id, file_scan_id,"
        " reason, decision, decided_by, decided_at)"
        " VALUES (%s, %s, %s, 'malware', 'released', %s, now())",
        [tenant, paper, scan_id, account],
    )
    row = admin.execute(
        "SELECT scan_status, current_version_no, used_bytes FROM system_core.file_object"
        " JOIN system_core.storage_location USING (business_id, storage_location_id)"
        " WHERE file_object_id = %s",
        [paper],
    ).fetchone()
    assert row == ("quarantined", 3, 100)


def test_storage_usage_is_read_by_tenant(admin: Connection, tenant: UUID) -> None:
    """Refreshed by the owner of materialized views, read through the filtering view."""
    store = storage(admin, tenant)
    for key in ("a", "b"):
        file(admin, tenant, store, storage_key=key)
    admin.execute("SET LOCAL ROLE matview_owner")
    admin.execute("REFRESH MATERIALIZED VIEW system_core.mv_storage_usage")
    admin.execute("SET LOCAL ROLE app_user")
    read = "SELECT file_count, total_bytes FROM system_core.v_storage_usage"
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    assert admin.execute(read.encode()).fetchall() == [(2, 200)]
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [uuid4()])
    assert admin.execute(read.encode()).fetchall() == []
    with pytest.raises(errors.InsufficientPrivilege):
        admin.execute("SELECT FROM system_core.mv_storage_usage")
