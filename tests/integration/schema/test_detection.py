"""Events keep their sources fresh, rules turn them into alerts, alerts merge and are decided."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from psycopg import errors

from harness.db import Connection

FAILED = {
    "any_of": [
        {
            "all_of": [
                {"field": "class", "op": "eq", "value": "authentication"},
                {"field": "outcome", "op": "eq", "value": "failure"},
            ]
        }
    ]
}
WORKED = {"all_of": [{"field": "outcome", "op": "eq", "value": "success"}]}
ANY = {"any_of": [{"all_of": [{"field": "class", "op": "exists", "value": True}]}]}
TRANSITIONS = {
    "new": {"triage", "suppressed"},
    "suppressed": {"new"},
    "triage": {"escalated", "closed_true_positive", "closed_benign", "closed_false_positive"},
    "escalated": {"closed_true_positive", "closed_benign", "closed_false_positive"},
    "closed_true_positive": set(),
    "closed_benign": set(),
    "closed_false_positive": set(),
}


def one(connection: Connection, query: str, *values: Any) -> Any:
    row = connection.execute(query.encode(), values).fetchone()
    return row[0] if row else None


@pytest.fixture
def source(app: Connection) -> UUID:
    """A source of sign-ins that sends at least every minute."""
    found: UUID = one(
        app,
        "INSERT INTO security_mgmt.log_source (business_id, name, kind, transport,"
        " expected_interval_seconds) VALUES (tenant_mgmt.current_business_id(), 'Sign-in',"
        " 'identity', 'push', 60) RETURNING log_source_id",
    )
    return found


def event(
    connection: Connection,
    source: UUID,
    *,
    ago: str = "1 minute",
    outcome: str = "failure",
    key: str = "ip:192.0.2.7",
    raw: dict[str, Any] | None = None,
    **columns: Any,
) -> UUID:
    """One sign-in event, and what of it is different."""
    given = {"class": "authentication", "activity": "logon", "src_ip": "192.0.2.7"} | columns
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.security_event (business_id, log_source_id, class, activity,"
        " outcome, src_ip, target_kind, target_id, correlation_key, raw, occurred_at)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, %s, %s, %s, %s, %s, %s, %s,"
        " now() - %s::interval) RETURNING security_event_id",
        source,
        given["class"],
        given["activity"],
        outcome,
        given["src_ip"],
        given.get("target_kind"),
        given.get("target_id"),
        key,
        json.dumps(raw or {}),
        ago,
    )
    return found


def rule(
    connection: Connection, logic: dict[str, Any], *, active: bool = True, **columns: Any
) -> UUID:
    """A rule that counts within five minutes, in force unless said otherwise."""
    given = {"rule_kind": "threshold", "threshold_count": 1, "suppression_minutes": 0} | columns
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.detection_rule (business_id, code, name, rule_kind, logic,"
        " threshold_count, window_seconds, suppression_minutes, severity)"
        " VALUES (tenant_mgmt.current_business_id(), %s, 'Rule', %s, %s, %s, %s, %s, 'high')"
        " RETURNING detection_rule_id",
        given.get("code", "R1"),
        given["rule_kind"],
        json.dumps(logic),
        given["threshold_count"],
        given.get("window_seconds", 300),
        given["suppression_minutes"],
    )
    _set_status(connection, found, "testing")
    if active:
        evaluate(connection, "0 seconds")
        _set_status(connection, found, "active")
    return found


def _set_status(connection: Connection, rule: UUID, status: str) -> None:
    connection.execute(
        "UPDATE security_mgmt.detection_rule SET status = %s WHERE detection_rule_id = %s",
        [status, rule],
    )


def evaluate(connection: Connection, ago: str = "10 minutes") -> int:
    """Runs the rules over the events of the last ten minutes."""
    return int(
        one(
            connection,
            "SELECT security_mgmt.evaluate_detection_rules(now() - %s::interval)",
            ago,
        )
    )


def alerts(connection: Connection) -> list[tuple[Any, ...]]:
    """Dedupe key and number of events of every alert."""
    return connection.execute(
        "SELECT dedupe_key, event_count FROM security_mgmt.security_alert ORDER BY dedupe_key"
    ).fetchall()


def alert(connection: Connection, rule: UUID, *, key: str = "k", count: int = 1) -> UUID | None:
    """An alert of a rule; None where it was merged."""
    found: UUID | None = one(
        connection,
        "INSERT INTO security_mgmt.security_alert (business_id, detection_rule_id, dedupe_key,"
        " correlation_keys, severity, event_count, sample_events, first_event_at, last_event_at)"
        " VALUES (tenant_mgmt.current_business_id(), %s, %s, ARRAY[%s || ' c'], 'high', %s,"
        " '[{\"id\": 1}]', now() - interval '1 hour', now()) RETURNING security_alert_id",
        rule,
        key,
        key,
        count,
    )
    return found


def decide(connection: Connection, status: str) -> None:
    """Takes every alert through triage to a status."""
    for step in ("triage", status):
        connection.execute("UPDATE security_mgmt.security_alert SET status = %s", [step])


# --- Sources and events -------------------------------------------------------------------------


def test_an_event_makes_its_source_fresh(app: Connection, source: UUID) -> None:
    event(app, source, ago="1 minute")
    event(app, source, ago="1 hour")
    row = app.execute(
        "SELECT last_event_at = now() - interval '1 minute', events_today > 0"
        " FROM security_mgmt.log_source"
    ).fetchone()
    assert row == (True, True), "an event that comes late does not make it older"


def test_the_count_begins_anew_with_the_day(app: Connection, source: UUID) -> None:
    event(app, source, ago="3 days")
    event(app, source, ago="3 days")
    assert one(app, "SELECT events_today FROM security_mgmt.log_source") == 2
    event(app, source, ago="1 day")
    assert one(app, "SELECT events_today FROM security_mgmt.log_source") == 1


def test_events_are_only_added(admin: Connection, app: Connection, source: UUID) -> None:
    event(app, source)
    admin.execute("RESET ROLE")
    with pytest.raises(errors.RestrictViolation, match="append only"):
        admin.execute("UPDATE security_mgmt.security_event SET outcome = 'success'")


def test_the_clock_of_a_source_may_be_five_minutes_fast(app: Connection, source: UUID) -> None:
    event(app, source, ago="-5 minutes")
    with pytest.raises(errors.CheckViolation, match="not_from_the_future"):
        event(app, source, ago="-6 minutes")


@pytest.mark.parametrize(("ago", "silent"), [("2 minutes", 0), ("4 minutes", 1)])
def test_a_source_is_silent_after_three_intervals(
    app: Connection, source: UUID, ago: str, silent: int
) -> None:
    event(app, source, ago=ago)
    assert one(app, "SELECT count(*) FROM security_mgmt.v_silent_log_source") == silent
    assert one(app, "SELECT security_mgmt.mark_silent_sources()") == silent
    assert one(app, "SELECT security_mgmt.mark_silent_sources()") == 0, "once"
    event(app, source, ago="0 seconds")
    assert one(app, "SELECT count(silent_since) FROM security_mgmt.log_source") == 0


def test_a_source_that_is_switched_off_is_not_missed(app: Connection, source: UUID) -> None:
    event(app, source, ago="1 hour")
    app.execute("UPDATE security_mgmt.log_source SET is_enabled = false")
    assert one(app, "SELECT security_mgmt.mark_silent_sources()") == 0


# --- Rules --------------------------------------------------------------------------------------


def test_a_rule_is_in_force_only_after_it_ran_in_testing(app: Connection) -> None:
    tested = rule(app, FAILED, active=False)
    with pytest.raises(errors.CheckViolation, match="active_was_tested"):
        _set_status(app, tested, "active")


def test_a_rule_does_not_skip_testing(app: Connection) -> None:
    draft = rule(app, FAILED, active=False)
    _set_status(app, draft, "draft")
    with pytest.raises(errors.CheckViolation, match="draft cannot become active"):
        _set_status(app, draft, "active")


def test_a_rule_in_testing_raises_nothing(app: Connection, source: UUID) -> None:
    rule(app, FAILED, active=False)
    event(app, source)
    assert evaluate(app) == 0
    assert one(app, "SELECT last_hit_count FROM security_mgmt.detection_rule") == 1


@pytest.mark.parametrize(
    "logic",
    [
        {},
        {"any_of": []},
        {"any_of": [{"all_of": [{"field": "color", "op": "eq", "value": "red"}]}]},
        {"any_of": [{"all_of": [{"field": "class", "op": "like", "value": "a"}]}]},
        {"any_of": [{"all_of": [{"field": "class", "op": "in", "value": "a"}]}]},
        {"any_of": [{"all_of": [{"field": "raw.rows", "op": "gte", "value": "many"}]}]},
        {"any_of": [{"all_of": [{"op": "eq", "value": "a"}]}]},
    ],
)
def test_a_rule_that_cannot_be_understood_is_refused(
    app: Connection, logic: dict[str, Any]
) -> None:
    with pytest.raises(errors.CheckViolation):
        rule(app, logic)


def test_a_sequence_has_two_steps(app: Connection) -> None:
    with pytest.raises(errors.CheckViolation, match="too few branches"):
        rule(app, FAILED, rule_kind="sequence")


@pytest.mark.parametrize(
    ("op", "value", "hits"),
    [
        ("eq", 7, True),
        ("eq", 8, False),
        ("ne", 8, True),
        ("in", ["6", "7"], True),
        ("in", ["6"], False),
        ("prefix", "7", True),
        ("gte", 7, True),
        ("gte", 7.5, False),
        ("lte", 7, True),
        ("exists", True, True),
        ("exists", False, False),
    ],
)
def test_a_condition_looks_into_the_event(
    app: Connection, source: UUID, op: str, value: Any, hits: bool
) -> None:
    rule(app, {"any_of": [{"all_of": [{"field": "raw.a.rows", "op": op, "value": value}]}]})
    event(app, source, raw={"a": {"rows": 7}})
    assert evaluate(app) == int(hits)


@pytest.mark.parametrize("raw", [{}, {"a": {"rows": "many"}}])
def test_what_is_no_number_is_not_compared(
    app: Connection, source: UUID, raw: dict[str, Any]
) -> None:
    rule(app, {"any_of": [{"all_of": [{"field": "raw.a.rows", "op": "gte", "value": 1}]}]})
    event(app, source, raw=raw)
    assert evaluate(app) == 0


@pytest.mark.parametrize(("events", "opened"), [(2, 0), (3, 1), (5, 1)])
def test_a_threshold_is_reached_within_its_window(
    app: Connection, source: UUID, events: int, opened: int
) -> None:
    rule(app, FAILED, threshold_count=3)
    for number in range(events):
        event(app, source, ago=f"{number + 1} minutes" if number < 3 else "1 minute")
    event(app, source, outcome="success")
    event(app, source, key="ip:192.0.2.8")
    assert evaluate(app) == opened
    assert alerts(app) == ([("ip:192.0.2.7", events)] if opened else [])


def test_a_threshold_is_not_reached_over_a_longer_time(app: Connection, source: UUID) -> None:
    rule(app, FAILED, threshold_count=3)
    for ago in ("1 minute", "4 minutes", "7 minutes"):
        event(app, source, ago=ago)
    assert evaluate(app) == 0


@pytest.mark.parametrize(("targets", "opened"), [("aab", 0), ("abc", 1)])
def test_a_threshold_may_count_distinct_values(
    app: Connection, source: UUID, targets: str, opened: int
) -> None:
    rule(app, FAILED | {"count_distinct": "target_id"}, threshold_count=3)
    for target in targets:
        event(app, source, target_kind="record", target_id=target)
    assert evaluate(app) == opened


def test_events_are_grouped_by_what_the_rule_says(app: Connection, source: UUID) -> None:
    rule(app, FAILED | {"group_by": ["src_ip", "target_id"]})
    event(app, source, key="x", target_kind="record", target_id="a")
    event(app, source, key="y", target_kind="record", target_id="a")
    event(app, source, key="x")
    assert evaluate(app) == 2
    assert alerts(app) == [("192.0.2.7 -", 1), ("192.0.2.7 a", 2)]


def _sequence() -> dict[str, Any]:
    return {"any_of": [*FAILED["any_of"], WORKED]}


@pytest.mark.parametrize(
    ("failed_at", "worked_at", "opened"),
    [
        ("4 minutes", "1 minute", 1),
        ("1 minute", "4 minutes", 0),
        ("8 minutes", "1 minute", 0),
    ],
)
def test_a_sequence_comes_in_its_order_within_its_window(
    app: Connection, source: UUID, failed_at: str, worked_at: str, opened: int
) -> None:
    rule(app, _sequence(), rule_kind="sequence")
    event(app, source, ago=failed_at)
    event(app, source, ago=worked_at, outcome="success")
    assert evaluate(app) == opened


def test_a_sequence_is_about_one_thing(app: Connection, source: UUID) -> None:
    rule(app, _sequence(), rule_kind="sequence")
    event(app, source, ago="4 minutes")
    event(app, source, outcome="success", key="ip:192.0.2.8")
    assert evaluate(app) == 0


@pytest.mark.parametrize(("before", "opened"), [("5 days", 0), ("31 days", 1)])
def test_a_term_is_new_that_was_not_seen_in_its_history(
    app: Connection, source: UUID, before: str, opened: int
) -> None:
    rule(app, ANY | {"history_days": 30}, rule_kind="new_term")
    event(app, source, ago=before)
    event(app, source)
    assert evaluate(app) == opened


@pytest.mark.parametrize(("events", "opened"), [(3, 0), (9, 1)])
def test_an_anomaly_is_far_from_the_windows_before(
    app: Connection, source: UUID, events: int, opened: int
) -> None:
    rule(app, ANY | {"baseline_windows": 4, "deviations": 3}, rule_kind="anomaly")
    for window in range(1, 5):
        for _ in range(2 + window % 2):
            event(app, source, ago=f"{window * 5 + 1} minutes")
    for _ in range(events):
        event(app, source)
    assert evaluate(app) == opened


def test_an_event_is_counted_once_however_often_the_rules_run(
    app: Connection, source: UUID
) -> None:
    rule(app, FAILED)
    event(app, source, ago="3 minutes")
    assert evaluate(app) == 1
    assert evaluate(app) == 0
    event(app, source, ago="1 minute")
    assert evaluate(app) == 1
    assert alerts(app) == [("ip:192.0.2.7", 2)]


def test_what_was_decided_is_not_raised_again(app: Connection, source: UUID) -> None:
    rule(app, FAILED)
    event(app, source, ago="3 minutes")
    evaluate(app)
    decide(app, "closed_benign")
    assert evaluate(app) == 0
    event(app, source, ago="1 minute")
    assert evaluate(app) == 1
    assert alerts(app) == [("ip:192.0.2.7", 1), ("ip:192.0.2.7", 1)]


@pytest.mark.parametrize(
    ("decision", "minutes", "status"),
    [
        ("closed_benign", 60, "suppressed"),
        ("closed_false_positive", 60, "suppressed"),
        ("closed_true_positive", 60, "new"),
        ("closed_benign", 0, "new"),
    ],
)
def test_what_was_nothing_is_kept_out_of_the_queue_for_a_time(
    app: Connection, source: UUID, decision: str, minutes: int, status: str
) -> None:
    rule(app, FAILED, suppression_minutes=minutes)
    event(app, source, ago="3 minutes")
    evaluate(app)
    decide(app, decision)
    event(app, source, ago="1 minute")
    evaluate(app)
    found = "SELECT status FROM security_mgmt.security_alert WHERE closed_at IS NULL"
    assert one(app, found) == status
    queue = one(app, "SELECT count(*) FROM security_mgmt.v_open_alert_queue")
    assert queue == int(status == "new")


def test_an_alert_knows_its_events_and_its_asset(app: Connection, source: UUID) -> None:
    asset = one(
        app,
        "INSERT INTO security_mgmt.security_asset (business_id, asset_tag, name, asset_kind)"
        " VALUES (tenant_mgmt.current_business_id(), 'AST-1', 'Server', 'server')"
        " RETURNING security_asset_id",
    )
    rule(app, FAILED)
    first = event(app, source, ago="2 minutes", target_kind="asset", target_id="AST-1")
    for _ in range(24):
        event(app, source)
    evaluate(app)
    row = app.execute(
        "SELECT security_asset_id, event_count, jsonb_array_length(sample_events),"
        " correlation_keys, sample_events @> jsonb_build_array(jsonb_build_object('id', %s::uuid))"
        " FROM security_mgmt.security_alert",
        [first],
    ).fetchone()
    assert row == (asset, 25, 20, ["ip:192.0.2.7"], False), "the newest 20 are kept"


# --- Indicators ---------------------------------------------------------------------------------


def indicator(
    connection: Connection, kind: str, value: str, until: str | None = None, since: str = "1 day"
) -> UUID:
    """Something hostile, known for a day."""
    found: UUID = one(
        connection,
        "INSERT INTO security_mgmt.threat_indicator (business_id, indicator_kind, value,"
        " feed_name, confidence, valid_from, valid_until) VALUES"
        " (tenant_mgmt.current_business_id(), %s, %s, 'feed', 80, now() - %s::interval,"
        " now() + %s::interval) RETURNING threat_indicator_id",
        kind,
        value,
        since,
        until,
    )
    return found


HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("kind", "value", "raw"),
    [
        ("ipv4", "192.0.2.7", {}),
        ("domain", "bad.example", {"dns": {"query": {"hostname": "BAD.example"}}}),
        ("file_sha256", HASH, {"file": {"sha256": HASH.upper()}}),
        ("url", "https://bad.example/A", {"http": {"url": "https://bad.example/A"}}),
        ("user_agent", "sqlmap/1.0", {"http": {"user_agent": "sqlmap/1.0"}}),
        ("email", "a@bad.example", {"email": {"from": "A@bad.example"}}),
        ("asn", "64500", {"src": {"asn": 64500}}),
        ("ja4", "t13d", {"tls": {"ja4": "T13d"}}),
    ],
)
def test_an_indicator_is_found_in_an_event(
    app: Connection, source: UUID, kind: str, value: str, raw: dict[str, Any]
) -> None:
    known = indicator(app, kind, value)
    seen = event(app, source, raw=raw)
    rows = app.execute(
        "SELECT security_event_id, threat_indicator_id FROM"
        " security_mgmt.match_indicators(now() - interval '10 minutes')"
    ).fetchall()
    assert rows == [(seen, known)]


def test_an_ipv6_address_is_found_too(app: Connection, source: UUID) -> None:
    indicator(app, "ipv6", "2001:db8::7")
    event(app, source, src_ip="2001:db8::7")
    found = "SELECT count(*) FROM security_mgmt.match_indicators(now() - interval '10 minutes')"
    assert one(app, found) == 1


@pytest.mark.parametrize(
    ("since", "until", "matched"),
    [("1 day", None, 1), ("1 day", "-2 minutes", 0), ("1 day", "1 hour", 1), ("0 days", None, 0)],
)
def test_an_indicator_counts_while_it_is_valid(
    app: Connection, source: UUID, since: str, until: str | None, matched: int
) -> None:
    indicator(app, "ipv4", "192.0.2.7", until, since)
    event(app, source)
    found = "SELECT count(*) FROM security_mgmt.match_indicators(now() - interval '10 minutes')"
    assert one(app, found) == matched


def test_a_match_raises_an_alert_and_is_a_sighting(app: Connection, source: UUID) -> None:
    known = indicator(app, "ipv4", "192.0.2.7")
    rule(app, ANY, rule_kind="indicator_match")
    event(app, source)
    event(app, source, ago="2 minutes")
    event(app, source, src_ip="192.0.2.99")
    assert evaluate(app) == 1
    assert alerts(app) == [("ipv4:192.0.2.7", 2)]
    row = app.execute(
        "SELECT a.threat_indicator_id, i.sighting_count, a.risk_points,"
        " i.last_sighted_at - i.first_sighted_at = interval '1 minute'"
        " FROM security_mgmt.security_alert AS a"
        " JOIN security_mgmt.threat_indicator AS i USING (business_id, threat_indicator_id)"
    ).fetchone()
    assert row is not None
    assert row == (known, 2, 68, True), "60 for high, 8 for the confidence"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("domain", "Bad.example"),
        ("ipv4", "192.0.2"),
        ("file_sha256", "abc"),
        ("asn", "as64500"),
    ],
)
def test_an_indicator_is_written_as_it_is_looked_for(
    app: Connection, kind: str, value: str
) -> None:
    with pytest.raises(errors.CheckViolation):
        indicator(app, kind, value)


# --- Alerts -------------------------------------------------------------------------------------


def test_an_alert_is_merged_into_the_open_one(app: Connection) -> None:
    noisy = rule(app, FAILED)
    assert alert(app, noisy, count=3)
    assert alert(app, noisy, count=4) is None
    assert alert(app, noisy, key="other")
    assert alerts(app) == [("k", 7), ("other", 1)]
    samples = "SELECT jsonb_array_length(sample_events) FROM security_mgmt.security_alert"
    assert one(app, samples + " WHERE dedupe_key = 'k'") == 2


def test_alerts_of_one_statement_are_merged_too(app: Connection) -> None:
    noisy = rule(app, FAILED)
    app.execute(
        "INSERT INTO security_mgmt.security_alert (business_id, detection_rule_id, dedupe_key,"
        " severity, first_event_at, last_event_at) SELECT tenant_mgmt.current_business_id(), %s,"
        " 'k', 'low', now(), now() FROM generate_series(1, 5)",
        [noisy],
    )
    assert alerts(app) == [("k", 5)]


def test_alerts_are_numbered(app: Connection) -> None:
    noisy = rule(app, FAILED)
    for key in "abc":
        alert(app, noisy, key=key)
    rows = app.execute(
        "SELECT alert_number FROM security_mgmt.security_alert ORDER BY dedupe_key"
    ).fetchall()
    assert rows == [("ALR-000001",), ("ALR-000002",), ("ALR-000003",)]


@pytest.mark.parametrize(("until", "status"), [("-1 hour", "new"), ("1 hour", "suppressed")])
def test_a_suppressed_alert_comes_back_when_it_goes_on(
    app: Connection, until: str, status: str
) -> None:
    noisy = rule(app, FAILED)
    alert(app, noisy)
    app.execute(
        "UPDATE security_mgmt.security_alert SET status = 'suppressed',"
        " suppressed_until = now() + %s::interval",
        [until],
    )
    assert alert(app, noisy) is None
    assert one(app, "SELECT status FROM security_mgmt.security_alert") == status


def test_a_rule_knows_how_often_it_was_wrong(app: Connection) -> None:
    noisy = rule(app, FAILED)
    assert one(app, "SELECT false_positive_pct FROM security_mgmt.detection_rule") is None
    for key, decision in (("a", "closed_benign"), ("b", "closed_true_positive")):
        alert(app, noisy, key=key)
        for step in ("triage", decision):
            app.execute(
                "UPDATE security_mgmt.security_alert SET status = %s WHERE dedupe_key = %s",
                [step, key],
            )
    assert one(app, "SELECT false_positive_pct FROM security_mgmt.detection_rule") == 50


def test_times_follow_the_triage(app: Connection) -> None:
    alert(app, rule(app, FAILED))
    decide(app, "closed_benign")
    row = app.execute(
        "SELECT acknowledged_at = now(), closed_at = now() FROM security_mgmt.security_alert"
    ).fetchone()
    assert row == (True, True)


def _alert_in(connection: Connection, status: str) -> None:
    alert(connection, rule(connection, FAILED))
    path = {
        "suppressed": ["suppressed"],
        "triage": ["triage"],
        "escalated": ["triage", "escalated"],
    }.get(status, ["triage", status] if status != "new" else [])
    for step in path:
        _move(connection, step)


def _move(connection: Connection, status: str) -> None:
    connection.execute(
        "UPDATE security_mgmt.security_alert SET status = %s,"
        " suppressed_until = CASE WHEN %s = 'suppressed' THEN now() END",
        [status, status],
    )


@pytest.mark.parametrize(
    ("before", "after"), [(a, b) for a in TRANSITIONS for b in TRANSITIONS if a != b]
)
def test_an_alert_moves_as_its_states_allow(app: Connection, before: str, after: str) -> None:
    _alert_in(app, before)
    if after in TRANSITIONS[before]:
        _move(app, after)
        assert one(app, "SELECT status FROM security_mgmt.security_alert") == after
    else:
        with pytest.raises(errors.CheckViolation, match="cannot become"):
            _move(app, after)


def test_an_alert_starts_as_new(app: Connection) -> None:
    noisy = rule(app, FAILED)
    with pytest.raises(errors.CheckViolation, match="cannot start as escalated"):
        app.execute(
            "INSERT INTO security_mgmt.security_alert (business_id, detection_rule_id,"
            " dedupe_key, severity, status, first_event_at, last_event_at) VALUES"
            " (tenant_mgmt.current_business_id(), %s, 'k', 'low', 'escalated', now(), now())",
            [noisy],
        )


def test_the_queue_shows_the_worst_first(app: Connection) -> None:
    noisy = rule(app, FAILED)
    for key, severity in (("a", "low"), ("b", "critical"), ("c", "medium")):
        alert(app, noisy, key=key)
        app.execute(
            "UPDATE security_mgmt.security_alert SET severity = %s WHERE dedupe_key = %s",
            [severity, key],
        )
    rows = app.execute("SELECT severity FROM security_mgmt.v_open_alert_queue").fetchall()
    assert rows == [("critical",), ("medium",), ("low",)]


def test_events_are_counted_per_hour(admin: Connection, app: Connection, source: UUID) -> None:
    event(app, source)
    event(app, source)
    admin.execute("RESET ROLE")
    admin.execute("REFRESH MATERIALIZED VIEW security_mgmt.mv_security_event_hourly")
    admin.execute("SET LOCAL ROLE app_user")
    row = app.execute(
        "SELECT class, outcome, event_count FROM security_mgmt.v_security_event_hourly"
    ).fetchone()
    assert row == ("authentication", "failure", 2)
