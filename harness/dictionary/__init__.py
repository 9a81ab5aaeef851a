"""What a schema says of itself, for people who read: pages of its tables, and diagrams."""
