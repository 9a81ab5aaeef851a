"""Does any tenant see another's rows, and for how many tables is it proven that none does?"""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from dashboards.board import Rows, board, several
from dashboards.panels import AMBER, GREEN, RED, count, figure, listing, ranking, series, stacked
from dashboards.promql import age, of, or_none, ratio

_DAY = 86400
_NOT_ATTACKED = "The run attacked nothing."


def build() -> Dashboard:
    """The board."""
    schema = several(
        "schema",
        "Schema",
        "Schemas that were deployed.",
        "label_values(harness_schema_tables, schema)",
    )
    return board("isolation", "Isolation", str(__doc__), _rows(), [schema], since="now-7d")


def _rows() -> Rows:
    return {
        "Verdict of the latest attack": _verdict(),
        "Tables by schema": _coverage(),
        "Probes": _probes(),
        "Findings of the checks": _findings(),
    }


def _verdict() -> Sequence[Builder[Panel]]:
    proven = f"sum({_tables('isolated')})"
    return [
        count(
            "Leaks",
            "Probes that crossed the boundary between tenants.",
            f"sum({of('harness_isolation_leaks')})",
            empty=_NOT_ATTACKED,
        ),
        count(
            "Foreign rows under load",
            "Rows of another tenant in answers to critical queries.",
            f"sum({of('harness_load_foreign_rows')})",
            empty="The run loaded nothing.",
        ),
        count(
            "Tables that leak",
            "Tables that a probe got another tenant's rows of.",
            or_none(f"sum({_tables('leaking')})"),
        ),
        count(
            "Tables unproven",
            "Tables for which no probe could have failed, as those without rows.",
            or_none(f"sum({_tables('unproven')})"),
            bad=AMBER,
        ),
        figure(
            "Tables proven",
            "Share of the deployed tables whose isolation was attacked and held.",
            ratio(proven, f"sum({_tables('deployed')})"),
            "percentunit",
            ((0, RED), (0.95, AMBER), (1, GREEN)),
            empty=_NOT_ATTACKED,
        ),
        figure(
            "Age of the proof",
            "How long ago an attack last held.",
            f"max({age(of('harness_last_success_timestamp_seconds', stage='check isolation'))})",
            "s",
            ((0, GREEN), (_DAY, AMBER), (7 * _DAY, RED)),
            empty="No attack held.",
        ),
    ]


def _coverage() -> Sequence[Builder[Panel]]:
    states = ("deployed", "filled", "isolated", "unproven", "leaking")
    return [
        listing(
            "Tables by state",
            "Of each schema: deployed, filled with rows, proven isolated, unproven, leaking.",
            {
                state.capitalize(): (
                    f"sum by (schema) ({_tables(state)})"
                    f" or 0 * sum by (schema) ({_tables('deployed')})",
                    "short",
                )
                for state in states
            },
            {"schema": "Schema"},
            sort="Leaking",
            width=14,
            empty=_NOT_ATTACKED,
        ),
        series(
            "Tables over time",
            "How many tables are in each state, by the run that was the latest then.",
            {"{{state}}": f"sum by (state) ({_tables('.*')})"},
            "short",
            width=10,
            height=10,
        ),
    ]


def _probes() -> Sequence[Builder[Panel]]:
    probes = of("harness_isolation_probes")
    failing = of("harness_isolation_probes", verdict="leak|weak|vacuous|error|noted")
    return [
        stacked(
            "Probes by verdict",
            "leak: rows crossed; weak: something can be told; noted: by design; vacuous: could not"
            " have failed; error: could not be asked; held: nothing crossed.",
            {"{{verdict}}": f"sum by (verdict) ({probes})"},
            "short",
            empty=_NOT_ATTACKED,
        ),
        ranking(
            "Probes that did not hold",
            "Attempts by kind of probe and verdict, without those that held.",
            ("{{probe}}: {{verdict}}", f"topk(20, sum by (probe, verdict) ({failing}))"),
            "short",
            empty="✓ Every probe held.",
        ),
    ]


def _findings() -> Sequence[Builder[Panel]]:
    found = of("harness_check_findings", schema="($schema|)")
    none = "✓ The checks found nothing."
    return [
        ranking(
            "Findings by rule",
            "docs/rules.md says of each rule what it means and how to mend it.",
            ("{{rule}} ({{severity}})", f"topk(20, sum by (rule, severity) ({found}))"),
            "short",
            empty=none,
        ),
        ranking(
            "Findings by schema",
            "Where they are; those that belong to no schema have no name.",
            ("{{schema}}", f"topk(20, sum by (schema) ({found}))"),
            "short",
            empty=none,
        ),
    ]


def _tables(state: str) -> str:
    return of("harness_schema_tables", schema="$schema", state=state)
