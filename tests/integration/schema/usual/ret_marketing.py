"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "ret.segment": {"segment_kind": "manual"},
    "ret.campaign": {"subject_line": "News", "attribution_days": 7},
    "ret.campaign_conversion": {"credit_share": 1},
    "ret.referral": {"referral_code": "REF-{n}"},
}
