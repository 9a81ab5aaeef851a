"""Prometheus metrics of the server and of the harness itself."""
