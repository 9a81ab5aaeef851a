"""What row security adds to a query, beside the same query with explicit predicates."""
