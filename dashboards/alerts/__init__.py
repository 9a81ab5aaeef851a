"""Alerts, one module per subject; each has them in ALERTS, by what matters most."""
