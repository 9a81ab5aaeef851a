"""Proves isolation: rules on files or a catalog, a truth table of policies, live probes."""
