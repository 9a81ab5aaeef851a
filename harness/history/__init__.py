"""The harness's memory: every run of it, stored in the schema observability and read back."""
