"""Collaboration: tags and their groups, comment threads, mentions, custom fields, timeline."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import errors
from psycopg.types.json import Jsonb

from harness.db import Connection


@pytest.fixture
def kind(app: Connection, tenant: UUID) -> UUID:
    """A kind of record that takes tags and comments."""
    return entity_type(app, tenant, "user_mgmt", "user_account")


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


def entity_type(connection: Connection, tenant: UUID, schema: str, table: str) -> UUID:
    """Registers a table as a kind of record with everything switched on."""
    return new(
        connection,
        "INSERT INTO system_core.entity_type (business_id, schema_name, table_name, display_name,"
        " plural_name, label_template, is_taggable, is_commentable, is_attachable, is_searchable)"
        " VALUES (%s, %s, %s, %s, 'things', '{name}', true, true, true, true)"
        " RETURNING entity_type_id",
        tenant,
        schema,
        table,
        table,
    )


def group(app: Connection, tenant: UUID, code: str = "skill", **columns: Any) -> UUID:
    """A group of tags."""
    names = "".join(f", {name}" for name in columns)
    return new(
        app,
        f"INSERT INTO system_core.tag_group (business_id, code, name, color_hex{names})"
        f" VALUES (%s, %s, 'Group', '#00ff00'{', %s' * len(columns)}) RETURNING tag_group_id",
        tenant,
        code,
        *columns.values(),
    )


def tag(app: Connection, tenant: UUID, of: UUID, slug: str) -> UUID:
    """A tag of a group."""
    return new(
        app,
        "INSERT INTO system_core.tag (business_id, tag_group_id, name, slug)"
        " VALUES (%s, %s, %s, %s) RETURNING tag_id",
        tenant,
        of,
        slug,
        slug,
    )


def put(
    connection: Connection, tenant: UUID, kind: UUID, record: UUID, *tags: UUID, ends: str = "none"
) -> None:
    """Puts tags on a record, in one statement."""
    connection.execute(
        "INSERT INTO system_core.tag_assignment (business_id, entity_type_id, entity_id, tag_id,"
        " assigned_at, expires_at) SELECT %s, %s, %s, t, now() - interval '2 days',"
        " CASE %s WHEN 'yesterday' THEN now() - interval '1 day' END FROM unnest(%s::uuid[]) AS t",
        [tenant, kind, record, ends, list(tags)],
    )


def usage(app: Connection) -> list[tuple[str, int]]:
    """Tags and how often they believe to be used."""
    return app.execute("SELECT slug, usage_count FROM system_core.tag ORDER BY slug").fetchall()


def comment(
    app: Connection,
    tenant: UUID,
    kind: UUID,
    author: UUID,
    record: UUID | None = None,
    parent: UUID | None = None,
    **columns: Any,
) -> UUID:
    """A comment on a record; a reply may leave the record out."""
    values = {"body_markdown": "text"} | columns
    return new(
        app,
        "INSERT INTO system_core.comment (business_id, entity_type_id, entity_id,"
        f" author_user_account_id, parent_comment_id, {', '.join(values)})"
        f" VALUES (%s, %s, %s, %s, %s{', %s' * len(values)}) RETURNING comment_id",
        tenant,
        None if record is None else kind,
        record,
        author,
        parent,
        *values.values(),
    )


def edit(app: Connection, of: UUID, change: str) -> None:
    """Changes a comment."""
    query = f"UPDATE system_core.comment SET {change} WHERE comment_id = %s"
    app.execute(query.encode(), [of])


def column(app: Connection, of: UUID, name: str) -> Any:
    """A column of a comment."""
    return one(app, f"SELECT {name} FROM system_core.comment WHERE comment_id = %s", of)


def field(app: Connection, tenant: UUID, kind: UUID, data_type: str, **columns: Any) -> UUID:
    """A custom field."""
    names = "".join(f", {name}" for name in columns)
    return new(
        app,
        "INSERT INTO system_core.custom_field_definition (business_id, entity_type_id, field_key,"
        f" label, data_type{names}) VALUES (%s, %s, 'f', 'F', %s{', %s' * len(columns)})"
        " RETURNING custom_field_definition_id",
        tenant,
        kind,
        data_type,
        *(Jsonb(value) if isinstance(value, (dict, list)) else value for value in columns.values()),
    )


def fill(connection: Connection, tenant: UUID, of: UUID, value: Any) -> tuple[Any, ...]:
    """Sets a custom field on a new record and returns its typed mirrors."""
    row = connection.execute(
        "INSERT INTO system_core.custom_field_value (business_id, custom_field_definition_id,"
        " entity_id, value) VALUES (%s, %s, %s, %s)"
        " RETURNING value_text, value_number::float, value_date::text, value_boolean",
        [tenant, of, uuid4(), Jsonb(value)],
    ).fetchone()
    assert row
    return row


def test_tag_knows_how_often_it_is_used(app: Connection, tenant: UUID, kind: UUID) -> None:
    skills = group(app, tenant)
    a, b = tag(app, tenant, skills, "a"), tag(app, tenant, skills, "b")
    put(app, tenant, kind, uuid4(), a, b)
    put(app, tenant, kind, uuid4(), a)
    assert usage(app) == [("a", 2), ("b", 1)]
    app.execute("DELETE FROM system_core.tag_assignment WHERE tag_id = %s", [b])
    assert usage(app) == [("a", 2), ("b", 0)]
    assert one(app, "SELECT last_used_at < now() FROM system_core.tag WHERE slug = 'b'")


def test_exclusive_group_allows_one_tag_per_record(
    app: Connection, tenant: UUID, kind: UUID
) -> None:
    source = group(app, tenant, is_exclusive=True, max_tags_per_record=1)
    web, fair = tag(app, tenant, source, "web"), tag(app, tenant, source, "fair")
    record = uuid4()
    put(app, tenant, kind, record, web)
    put(app, tenant, kind, uuid4(), fair)
    with pytest.raises(errors.CheckViolation, match="more than 1"), app.transaction():
        put(app, tenant, kind, record, fair)
    with pytest.raises(errors.CheckViolation, match="more than 1"):
        put(app, tenant, kind, uuid4(), web, fair)


def test_expired_tag_makes_room_until_it_is_extended(
    app: Connection, tenant: UUID, kind: UUID
) -> None:
    source = group(app, tenant, is_exclusive=True, max_tags_per_record=1)
    record = uuid4()
    put(app, tenant, kind, record, tag(app, tenant, source, "web"), ends="yesterday")
    put(app, tenant, kind, record, tag(app, tenant, source, "fair"))
    with pytest.raises(errors.CheckViolation, match="more than 1"):
        app.execute("UPDATE system_core.tag_assignment SET expires_at = NULL")


def test_limit_binds_applications_and_exclusiveness_everybody(
    admin: Connection, tenant: UUID
) -> None:
    kind = entity_type(admin, tenant, "user_mgmt", "user_account")
    few = group(admin, tenant, "few", max_tags_per_record=1)
    sole = group(admin, tenant, "sole", is_exclusive=True, max_tags_per_record=1)
    record = uuid4()
    put(admin, tenant, kind, record, tag(admin, tenant, few, "a"), tag(admin, tenant, few, "b"))
    with pytest.raises(errors.CheckViolation, match="group sole"):
        put(admin, tenant, kind, record, *(tag(admin, tenant, sole, s) for s in ("a", "b")))


def test_exclusive_group_has_a_limit_of_one(app: Connection, tenant: UUID) -> None:
    with pytest.raises(errors.CheckViolation, match="exclusive_allows_one"):
        group(app, tenant, is_exclusive=True)


def test_group_becomes_exclusive_only_without_double_tags(
    app: Connection, tenant: UUID, kind: UUID
) -> None:
    skills = group(app, tenant)
    put(app, tenant, kind, uuid4(), *(tag(app, tenant, skills, s) for s in ("a", "b")))
    change = "UPDATE system_core.tag_group SET is_exclusive = true, max_tags_per_record = 1"
    with pytest.raises(errors.CheckViolation, match="cannot become exclusive"), app.transaction():
        app.execute(change.encode())
    app.execute("DELETE FROM system_core.tag_assignment")
    app.execute(change.encode())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE system_core.entity_type SET is_taggable = false", "take no tags"),
        ("UPDATE system_core.tag SET is_archived = true", "archived"),
        ("UPDATE system_core.tag_group SET applies_to = '{user_mgmt.other}'", "does not apply"),
    ],
)
def test_unfit_tag_is_refused(
    app: Connection, tenant: UUID, kind: UUID, change: str, why: str
) -> None:
    entity_type(app, tenant, "tenant_mgmt", "business")
    skill = tag(app, tenant, group(app, tenant), "a")
    app.execute(change.replace("user_mgmt.other", "tenant_mgmt.business").encode())
    with pytest.raises(errors.CheckViolation, match=why):
        put(app, tenant, kind, uuid4(), skill)


def test_group_applies_to_registered_kinds_only(app: Connection, tenant: UUID, kind: UUID) -> None:
    group(app, tenant, "good", applies_to=["user_mgmt.user_account"])
    with pytest.raises(errors.CheckViolation, match=r"no\.where"):
        group(app, tenant, "bad", applies_to=["user_mgmt.user_account", "no.where"])


def test_assignment_and_used_tag_stay_where_they_are(
    app: Connection, tenant: UUID, kind: UUID
) -> None:
    skills = group(app, tenant)
    used, unused = tag(app, tenant, skills, "a"), tag(app, tenant, skills, "b")
    put(app, tenant, kind, uuid4(), used)
    other = group(app, tenant, "other")
    move = "UPDATE system_core.tag SET tag_group_id = %s WHERE tag_id = %s"
    app.execute(move.encode(), [other, unused])
    with pytest.raises(errors.RestrictViolation, match="change its group"), app.transaction():
        app.execute(move.encode(), [other, used])
    with pytest.raises(errors.RestrictViolation, match="cannot move"):
        app.execute("UPDATE system_core.tag_assignment SET tag_id = %s", [unused])


def test_only_a_model_is_unsure(app: Connection, tenant: UUID, kind: UUID) -> None:
    put(app, tenant, kind, uuid4(), tag(app, tenant, group(app, tenant), "a"))
    app.execute("UPDATE system_core.tag_assignment SET source = 'ml', confidence_pct = 87.5")
    with pytest.raises(errors.CheckViolation, match="only_a_model"):
        app.execute("UPDATE system_core.tag_assignment SET source = 'manual'")


def test_picker_counts_unexpired_tags(app: Connection, tenant: UUID, kind: UUID) -> None:
    skills = group(app, tenant)
    a = tag(app, tenant, skills, "a")
    put(app, tenant, kind, uuid4(), a)
    put(app, tenant, kind, uuid4(), a, ends="yesterday")
    tag(app, tenant, skills, "unused")
    picker = "SELECT slug, color_hex, usage_count, live_count FROM system_core.v_tag_usage"
    assert app.execute(f"{picker} ORDER BY slug".encode()).fetchall() == [
        ("a", "#00ff00", 2, 1),
        ("unused", "#00ff00", 0, 0),
    ]


def test_replies_form_a_thread(account: UUID, app: Connection, tenant: UUID, kind: UUID) -> None:
    record = uuid4()
    first = comment(app, tenant, kind, account, record)
    reply = comment(app, tenant, kind, account, parent=first)
    assert column(app, reply, "entity_id") == record
    assert column(app, reply, "thread_path") == f"{first}/{reply}"
    assert (column(app, first, "depth"), column(app, reply, "depth")) == (0, 1)
    assert column(app, first, "reply_count") == 1


def test_reply_below_the_last_level_stands_beside_it(
    account: UUID, app: Connection, tenant: UUID, kind: UUID
) -> None:
    chain = [comment(app, tenant, kind, account, uuid4())]
    for _ in range(7):
        chain.append(comment(app, tenant, kind, account, parent=chain[-1]))
    assert [column(app, c, "depth") for c in chain] == [0, 1, 2, 3, 4, 5, 6, 6]
    assert column(app, chain[7], "parent_comment_id") == chain[5]
    assert column(app, chain[7], "thread_path") == "/".join(map(str, [*chain[:6], chain[7]]))
    assert column(app, chain[5], "reply_count") == 2


def test_reply_on_another_record_is_refused(
    account: UUID, app: Connection, tenant: UUID, kind: UUID
) -> None:
    first = comment(app, tenant, kind, account, uuid4())
    with pytest.raises(errors.CheckViolation, match="another record"):
        comment(app, tenant, kind, account, uuid4(), parent=first)


def test_imported_reply_takes_the_record_of_its_parent(
    admin: Connection, tenant: UUID, account: UUID
) -> None:
    kind = entity_type(admin, tenant, "user_mgmt", "user_account")
    first = comment(admin, tenant, kind, account, record := uuid4())
    reply = comment(admin, tenant, kind, account, uuid4(), parent=first)
    assert column(admin, reply, "entity_id") == record
    assert column(admin, first, "reply_count") == 1


def test_comment_stays_on_its_record(
    account: UUID, app: Connection, tenant: UUID, kind: UUID
) -> None:
    first = comment(app, tenant, kind, account, uuid4())
    with pytest.raises(errors.RestrictViolation, match="cannot move"):
        edit(app, first, "entity_id = gen_random_uuid()")


def test_deleted_comment_keeps_its_place_without_its_text(
    account: UUID, app: Connection, tenant: UUID, kind: UUID
) -> None:
    first = comment(app, tenant, kind, account, uuid4())
    reply = comment(app, tenant, kind, account, parent=first)
    edit(app, reply, "deleted_at = now()")
    assert column(app, reply, "body_markdown") == ""
    assert column(app, first, "reply_count") == 0
    with pytest.raises(errors.CheckViolation, match="blank_only_when_deleted"):
        edit(app, reply, "deleted_at = NULL")


def test_edited_comment_is_dated(account: UUID, app: Connection, tenant: UUID, kind: UUID) -> None:
    first = comment(app, tenant, kind, account, uuid4())
    edit(app, first, "pinned_at = now()")
    assert column(app, first, "edited_at") is None
    edit(app, first, "body_markdown = 'better'")
    assert column(app, first, "edited_at") is not None


@pytest.mark.parametrize("body", ["", "x" * 20001])
def test_comment_is_neither_empty_nor_endless(
    account: UUID, app: Connection, tenant: UUID, kind: UUID, body: str
) -> None:
    with pytest.raises(errors.CheckViolation, match="comment_body"):
        comment(app, tenant, kind, account, uuid4(), body_markdown=body)


def test_kind_that_takes_no_comments_refuses_them(
    account: UUID, app: Connection, tenant: UUID, kind: UUID
) -> None:
    app.execute("UPDATE system_core.entity_type SET is_commentable = false")
    with pytest.raises(errors.CheckViolation, match="take no comments"):
        comment(app, tenant, kind, account, uuid4())


def test_searchable_comments_are_found_until_restricted_or_deleted(
    account: UUID, app: Connection, tenant: UUID, kind: UUID
) -> None:
    entity_type(app, tenant, "system_core", "comment")
    found = "SELECT body_excerpt FROM system_core.search_document ORDER BY 1"
    a = comment(app, tenant, kind, account, uuid4(), body_markdown="alpha")
    b = comment(app, tenant, kind, account, uuid4(), body_markdown="beta")
    comment(app, tenant, kind, account, uuid4(), visibility="restricted")
    assert [e for (e,) in app.execute(found)] == ["alpha", "beta"]
    edit(app, a, "body_markdown = 'gamma'")
    edit(app, b, "deleted_at = now()")
    assert [e for (e,) in app.execute(found)] == ["gamma"]
    edit(app, a, "visibility = 'restricted'")
    assert app.execute(found).fetchall() == []


def test_mention_is_read_after_it_was_notified(
    account: UUID, app: Connection, tenant: UUID, kind: UUID
) -> None:
    first = comment(app, tenant, kind, account, uuid4())
    app.execute(
        "INSERT INTO system_core.comment_mention (business_id, comment_id,"
        " mentioned_user_account_id, mention_offset, display_text) VALUES (%s, %s, %s, 0, '@ada')",
        [tenant, first, account],
    )
    with pytest.raises(errors.CheckViolation, match="read_only_when_notified"):
        app.execute("UPDATE system_core.comment_mention SET read_at = now()")


def test_reaction_comes_back_after_it_was_removed(
    account: UUID, app: Connection, tenant: UUID, kind: UUID
) -> None:
    first = comment(app, tenant, kind, account, uuid4())
    react = (
        "INSERT INTO system_core.comment_reaction (business_id, comment_id, user_account_id,"
        " reaction) VALUES (%s, %s, %s, 'heart')"
    )
    app.execute(react.encode(), [tenant, first, account])
    with pytest.raises(errors.UniqueViolation), app.transaction():
        app.execute(react.encode(), [tenant, first, account])
    app.execute("UPDATE system_core.comment_reaction SET removed_at = now()")
    app.execute(react.encode(), [tenant, first, account])


OPTIONS = [{"value": "gold", "label": "Gold"}, {"value": "tin", "label": "Tin"}]


@pytest.mark.parametrize(
    ("data_type", "rules", "value", "mirror"),
    [
        ("text", {"validation": {"max_length": 3, "pattern": "^a"}}, "abc", ("abc",)),
        ("text", {}, "x" * 500, ("x" * 400,)),
        ("number", {"validation": {"min": 1, "max": 2}}, 2, (None, 2.0)),
        ("money", {}, 1.25, (None, 1.25)),
        ("date", {"validation": {"min": "2026-01-01"}}, "2026-01-01", (None, None, "2026-01-01")),
        ("boolean", {}, False, (None, None, None, False)),
        ("select", {"options": OPTIONS}, "tin", ("tin",)),
        ("multi_select", {"options": OPTIONS}, ["tin"], ('["tin"]',)),
        ("url", {}, "https://example.com", ("https://example.com",)),
        ("json", {}, {"a": 1}, ('{"a": 1}',)),
    ],
)
def test_valid_value_is_mirrored_by_type(
    app: Connection,
    tenant: UUID,
    kind: UUID,
    data_type: str,
    rules: dict[str, Any],
    value: Any,
    mirror: tuple[Any, ...],
) -> None:
    padded = (*mirror, None, None, None)[:4]
    assert fill(app, tenant, field(app, tenant, kind, data_type, **rules), value) == padded


@pytest.mark.parametrize(
    ("data_type", "rules", "value", "problem"),
    [
        ("text", {}, 1, "not number"),
        ("text", {"validation": {"min_length": 2}}, "a", "shorter than 2"),
        ("text", {"validation": {"max_length": 3}}, "abcd", "longer than 3"),
        ("text", {"validation": {"pattern": "^a"}}, "b", "does not match"),
        ("number", {"validation": {"min": 1}}, 0.99, "less than 1"),
        ("number", {"validation": {"max": 2}}, 2.01, "more than 2"),
        ("money", {}, 1.005, "fractions of a cent"),
        ("date", {}, "2026-02-30", "is not a date"),
        ("date", {}, "tomorrow", "is not a date"),
        ("date", {"validation": {"max": "2026-01-01"}}, "2026-01-02", "is after"),
        ("boolean", {}, "yes", "not string"),
        ("select", {"options": OPTIONS}, "silver", "not one of the choices"),
        ("multi_select", {"options": OPTIONS}, ["tin", "silver"], "silver is not one"),
        ("multi_select", {"options": OPTIONS}, "tin", "not string"),
        ("url", {}, "ftp://x", "not a web address"),
        ("user", {}, "ada", "ada is not a user"),
        ("user", {}, "00000000-0000-7000-8000-000000000000", "is not a user"),
        ("json", {}, None, "a json is a JSON value, not null"),
    ],
)
def test_invalid_value_is_refused(
    app: Connection,
    tenant: UUID,
    kind: UUID,
    data_type: str,
    rules: dict[str, Any],
    value: Any,
    problem: str,
) -> None:
    definition = field(app, tenant, kind, data_type, **rules)
    with pytest.raises(errors.CheckViolation, match=problem):
        fill(app, tenant, definition, value)


def test_existing_user_is_a_value(account: UUID, app: Connection, tenant: UUID, kind: UUID) -> None:
    assert fill(app, tenant, field(app, tenant, kind, "user"), str(account))[0] == str(account)


def test_archived_field_takes_no_values(app: Connection, tenant: UUID, kind: UUID) -> None:
    definition = field(app, tenant, kind, "text", archived_at="2026-01-01")
    with pytest.raises(errors.CheckViolation, match="archived"):
        fill(app, tenant, definition, "a")


def test_imported_value_may_break_the_rules_of_today(admin: Connection, tenant: UUID) -> None:
    kind = entity_type(admin, tenant, "user_mgmt", "user_account")
    definition = field(admin, tenant, kind, "number", validation={"max": 2})
    assert fill(admin, tenant, definition, 3) == (None, 3.0, None, None)
    assert fill(admin, tenant, definition, "3") == ("3", None, None, None)


def test_field_with_values_keeps_its_type(app: Connection, tenant: UUID, kind: UUID) -> None:
    definition = field(app, tenant, kind, "text")
    retype = "UPDATE system_core.custom_field_definition SET data_type = %s"
    app.execute(retype.encode(), ["number"])
    fill(app, tenant, definition, 1)
    with pytest.raises(errors.RestrictViolation, match="stays number"):
        app.execute(retype.encode(), ["text"])


@pytest.mark.parametrize(
    ("data_type", "rules", "problem"),
    [
        ("select", {}, "select_has_options"),
        ("select", {"options": [{"value": "gold"}]}, "value and a label"),
        ("select", {"options": OPTIONS, "default_value": Jsonb("silver")}, "no valid value"),
        ("number", {"validation": {"max": 2}, "default_value": Jsonb(3)}, "more than 2"),
        ("text", {"validation": {"max_length": "3"}}, "lengths_are_numbers"),
        ("text", {"validation": {"pattern": "("}}, "invalid regular expression"),
    ],
)
def test_unsound_field_is_refused(
    app: Connection, tenant: UUID, kind: UUID, data_type: str, rules: dict[str, Any], problem: str
) -> None:
    with pytest.raises(errors.DatabaseError, match=problem):
        field(app, tenant, kind, data_type, **rules)


def test_timeline_merges_actions_comments_and_files_newest_first(
    admin: Connection, tenant: UUID, account: UUID
) -> None:
    kind = entity_type(admin, tenant, "user_mgmt", "user_account")
    record = uuid4()
    admin.execute(
        "INSERT INTO system_core.activity_event (business_id, entity_type_id, entity_id,"
        " actor_kind, action, source, occurred_at)"
        " VALUES (%s, %s, %s, 'system', 'create', 'job', now() - interval '3 hours')",
        [tenant, kind, record],
    )
    for hours, visibility in ((2, "internal"), (1, "restricted")):
        comment(admin, tenant, kind, account, record, visibility=visibility)
        admin.execute(
            "UPDATE system_core.comment SET created_at = now() - make_interval(hours => %s)"
            " WHERE visibility = %s",
            [hours, visibility],
        )
    admin.execute(
        "WITH l AS (INSERT INTO system_core.storage_location (business_id, name, provider, bucket,"
        " region_code, encryption_key_ref, quota_bytes)"
        " VALUES (%(tenant)s, 'l', 's3', 'b', 'us-east-1', 'vault:k', 10) RETURNING *),"
        " f AS (INSERT INTO system_core.file_object (business_id, storage_location_id, file_name,"
        " media_type, size_bytes, sha256, storage_key) SELECT business_id, storage_location_id,"
        " 'a.pdf', 'application/pdf', 1, sha256('1'), 'k' FROM l RETURNING *)"
        " INSERT INTO system_core.file_attachment (business_id, file_object_id, entity_type_id,"
        " entity_id, role) SELECT business_id, file_object_id, %(kind)s, %(record)s, 'document'"
        " FROM f",
        {"tenant": tenant, "kind": kind, "record": record},
    )
    admin.execute("SET LOCAL ROLE app_user")
    admin.execute("SELECT tenant_mgmt.set_tenant(%s)", [tenant])
    timeline = (
        "SELECT item_kind, summary FROM system_core.entity_timeline("
        "'user_mgmt', 'user_account', %s, {})"
    )
    everything = [("file", "a.pdf"), ("comment", "text"), ("activity", "create")]
    found = admin.execute(timeline.format("'infinity'").encode(), [record])
    assert found.fetchall() == everything
    newest = admin.execute(timeline.format("'infinity', 1").encode(), [record])
    assert newest.fetchall() == everything[:1]
    older = admin.execute(timeline.format("now() - interval '2 hours'").encode(), [record])
    assert older.fetchall() == everything[2:]
