"""A live view of a run that is going on, or of any server."""
