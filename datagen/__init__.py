"""From a catalog to rows in tables: believable tenants, column-wise, repeatable."""
