"""Grafana boards and Prometheus rules as code: `python -m dashboards` writes what stands beside it.

Boards are values of Grafana's own builders, made by the functions of `panels`; rules carry the
example that fires and the one that stays quiet, from which promtool's tests are written.
"""
