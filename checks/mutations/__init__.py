"""The operators that plant faults, one module each: see checks.mutation."""
