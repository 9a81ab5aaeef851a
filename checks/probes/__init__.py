"""Isolation probes: one module per way to cross the tenant boundary; checks.probe says what a
module has."""
