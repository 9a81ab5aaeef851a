"""Proves isolation: static rules, catalog rules, live probes."""
