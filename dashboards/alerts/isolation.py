"""Whether tenants are apart."""

from __future__ import annotations

from dashboards.rule import Alert, Firing

_WEEK = 7 * 86400
_LONG_AGO = f"-{2 * _WEEK}x60"

ALERTS = (
    Alert(
        name="TenantIsolationLeak",
        severity="page",
        value="harness_isolation_leaks",
        condition="> 0",
        summary="{{ $value }} probes crossed the boundary between tenants",
        description="A tenant can see, change or tell of another tenant's rows.",
        remedy="Stop the release. The report lists the tables; `harness check isolation --table"
        " NAME` attacks one again, and `harness check all` names the policy, grant or function"
        " that lets rows through.",
        fires=Firing(
            {"harness_isolation_leaks": "2x60"}, "2 probes crossed the boundary between tenants"
        ),
        quiet={"harness_isolation_leaks": "0x60"},
        absent="The latest run attacked nothing.",
    ),
    Alert(
        name="ForeignRowsUnderLoad",
        severity="page",
        value="harness_load_foreign_rows",
        condition="> 0",
        summary="Critical queries answered with {{ $value }} rows of another tenant",
        description="Under load, a session got rows that are not its tenant's.",
        remedy="Stop the release. `harness_query_foreign_rows` and the report name the queries. A"
        " tenant that was set for a session instead of a transaction, behind a pooler, is the usual"
        " cause (rule CTX001).",
        fires=Firing(
            {"harness_load_foreign_rows": "3x60"},
            "Critical queries answered with 3 rows of another tenant",
        ),
        quiet={"harness_load_foreign_rows": "0x60"},
        absent="The latest run loaded nothing.",
    ),
    Alert(
        name="ChecksFailed",
        severity="ticket",
        value="harness_check_findings_blocking",
        condition="> 0",
        summary="{{ $value }} findings are severe enough to fail the run",
        description="The checks of files or catalog found what the settings do not allow.",
        remedy="`harness check all` prints each finding with its place, its reason and a change"
        " that mends it; docs/rules.md explains the rules. What is meant to be so is allowed beside"
        " the statement, with the reason.",
        fires=Firing(
            {"harness_check_findings_blocking": "4x60"},
            "4 findings are severe enough to fail the run",
        ),
        quiet={"harness_check_findings_blocking": "0x60"},
    ),
    Alert(
        name="IsolationUnproven",
        severity="ticket",
        value='sum by (instance, schema) (harness_schema_tables{state="unproven"})',
        condition="> 0",
        summary="{{ $value }} tables of {{ $labels.schema }} were not proven to be isolated",
        description="No probe of these tables could have failed, so that none held says nothing.",
        remedy="Most often the tables have no rows of two tenants: fill them (`harness fill`, its"
        " report says which tables got fewer rows than planned) and attack again.",
        fires=Firing(
            {'harness_schema_tables{schema="hs",state="unproven"}': "5x60"},
            "5 tables of hs were not proven to be isolated",
            {"schema": "hs"},
        ),
        quiet={
            'harness_schema_tables{schema="hs",state="unproven"}': "0x60",
            'harness_schema_tables{schema="hs",state="isolated"}': "9x60",
        },
        absent="Every table is proven, or none was attacked.",
    ),
    Alert(
        name="IsolationProofOld",
        severity="ticket",
        value='time() - harness_last_success_timestamp_seconds{stage="check isolation"}',
        condition=f"> {_WEEK}",
        summary="The last attack that held is {{ $value | humanizeDuration }} old",
        description="The schema may have changed since isolation was last proven.",
        remedy="Look at why the job that runs the harness does not run or does not hold; run"
        " `harness run`, or `harness check isolation` on the database.",
        fires=Firing(
            {'harness_last_success_timestamp_seconds{stage="check isolation"}': _LONG_AGO},
            "The last attack that held is 14d 1h 0m 0s old",
            {"stage": "check isolation"},
        ),
        quiet={'harness_last_success_timestamp_seconds{stage="check isolation"}': "0x60"},
        absent="No attack has held yet.",
    ),
)
