"""What a schema holds: one model, read from SQL files (`files`) or a live database (`live`)."""
