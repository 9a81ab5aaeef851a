"""A distributed cluster on paper: where tenants would lie, and what that takes."""
