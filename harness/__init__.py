"""What the harness stands on: settings, servers, catalogs, deployment, reports, the command."""

__version__ = "0.1.0"
