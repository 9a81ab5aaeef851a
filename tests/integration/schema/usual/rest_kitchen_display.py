"""What a row of these tables usually holds, where a CHECK or UNIQUE asks for more than a type."""

USUAL = {
    "rest.prep_time_standard": {"target_seconds": 300},
}
