"""The command `harness`: a thin skin over the packages."""
